import CVFIO
import SystemPackage
import Testing
import VFIO
import VFIOMock

/// The few calls that the tests need of a driver, straight to the seam.
struct Driver {
    let kernel: any Kernel

    init(_ kernel: any Kernel) { self.kernel = kernel }

    init(_ machine: MockMachine) { self.init(machine.kernel) }

    @discardableResult
    func control<Structure>(
        _ file: FileDescriptor, _ request: UInt, _ argument: inout Structure
    ) throws(Errno) -> Int {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: MemoryLayout<Structure>.size, alignment: 8)
        defer { buffer.deallocate() }
        withUnsafeBytes(of: argument) { buffer.copyMemory(from: $0) }
        defer { withUnsafeMutableBytes(of: &argument) { $0.copyMemory(from: UnsafeRawBufferPointer(buffer)) } }
        return try kernel.control(file, request, buffer)
    }

    func control(_ file: FileDescriptor, _ request: UInt, bytes: [UInt8]) throws(Errno) -> Int {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 8)
        defer { buffer.deallocate() }
        buffer.copyBytes(from: bytes)
        return try kernel.control(file, request, buffer)
    }

    static func bytes(_ words: [UInt32]) -> [UInt8] {
        words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) } }
    }

    // MARK: Opening

    /// Opens a device through its group, in a container.
    func openLegacy(
        _ address: PCIAddress, group: Int, type: UInt = CVFIO_TYPE1v2_IOMMU
    ) throws(Errno) -> (container: FileDescriptor, group: FileDescriptor, device: FileDescriptor) {
        let container = try kernel.open("/dev/vfio/vfio", .readWrite)
        let file = try kernel.open(FilePath("/dev/vfio/\(group)"), .readWrite)
        var number = container.rawValue
        try control(file, CVFIO_GROUP_SET_CONTAINER, &number)
        _ = try kernel.control(container, CVFIO_SET_IOMMU, value: type)
        return (container, file, try device(address, file))
    }

    func device(_ address: PCIAddress, _ group: FileDescriptor) throws(Errno) -> FileDescriptor {
        FileDescriptor(
            rawValue: Int32(try control(group, CVFIO_GROUP_GET_DEVICE_FD, bytes: Array("\(address)".utf8) + [0])))
    }

    /// Opens a device by its own node, bound to an iommufd and attached to an address space.
    func openNode(_ number: Int, _ iommufd: FileDescriptor, ioas: UInt32) throws(Errno) -> FileDescriptor {
        let device = try kernel.open(FilePath("/dev/vfio/devices/vfio\(number)"), .readWrite)
        var bind = cvfio_device_bind_iommufd()
        bind.argsz = 16
        bind.iommufd = iommufd.rawValue
        try control(device, CVFIO_DEVICE_BIND_IOMMUFD, &bind)
        var attach = cvfio_device_attach_iommufd_pt()
        attach.argsz = 12
        attach.pt_id = ioas
        try control(device, CVFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach)
        return device
    }

    func makeIOAS(_ iommufd: FileDescriptor) throws(Errno) -> UInt32 {
        var command = ciommu_ioas_alloc()
        command.size = 12
        try control(iommufd, CIOMMU_IOAS_ALLOC, &command)
        return command.out_ioas_id
    }

    // MARK: Mapping

    func map(_ container: FileDescriptor, _ memory: UnsafeMutableRawPointer, _ count: Int, at iova: UInt64)
        throws(Errno)
    {
        var map = cvfio_iommu_type1_dma_map()
        map.argsz = UInt32(MemoryLayout.size(ofValue: map))
        map.flags = CVFIO_DMA_MAP_FLAG_READ | CVFIO_DMA_MAP_FLAG_WRITE
        map.vaddr = UInt64(UInt(bitPattern: memory))
        map.iova = iova
        map.size = UInt64(count)
        try control(container, CVFIO_IOMMU_MAP_DMA, &map)
    }

    @discardableResult
    func map(
        _ iommufd: FileDescriptor, _ ioas: UInt32, _ memory: UnsafeMutableRawPointer, _ count: Int, at iova: UInt64
    ) throws(Errno) -> UInt64 {
        var map = ciommu_ioas_map()
        map.size = 40
        map.flags = CIOMMU_IOAS_MAP_FIXED_IOVA | CIOMMU_IOAS_MAP_READABLE | CIOMMU_IOAS_MAP_WRITEABLE
        map.ioas_id = ioas
        map.user_va = UInt64(UInt(bitPattern: memory))
        map.length = UInt64(count)
        map.iova = iova
        try control(iommufd, CIOMMU_IOAS_MAP, &map)
        return map.iova
    }

    func mapFile(
        _ iommufd: FileDescriptor, _ ioas: UInt32, _ file: FileDescriptor, _ count: Int, at iova: UInt64
    ) throws(Errno) {
        var map = ciommu_ioas_map_file()
        map.size = 40
        map.flags = CIOMMU_IOAS_MAP_FIXED_IOVA | CIOMMU_IOAS_MAP_READABLE | CIOMMU_IOAS_MAP_WRITEABLE
        map.ioas_id = ioas
        map.fd = file.rawValue
        map.length = UInt64(count)
        map.iova = iova
        try control(iommufd, CIOMMU_IOAS_MAP_FILE, &map)
    }

    func unmap(
        _ iommufd: FileDescriptor, _ ioas: UInt32, _ count: Int, at iova: UInt64
    ) throws(Errno) -> UInt64 {
        var unmap = ciommu_ioas_unmap()
        unmap.size = 24
        unmap.ioas_id = ioas
        unmap.iova = iova
        unmap.length = UInt64(count)
        try control(iommufd, CIOMMU_IOAS_UNMAP, &unmap)
        return unmap.length
    }

    func allocate(_ count: Int) throws(Errno) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(
            start: try kernel.map(MemoryMapRequest(byteCount: count, source: .anonymous(hugePageSize: nil))),
            count: count)
    }

    func mapBAR(_ device: FileDescriptor, _ bar: UInt64, _ count: Int) throws(Errno) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(
            start: try kernel.map(MemoryMapRequest(byteCount: count, source: .file(device, offset: bar << 40))),
            count: count)
    }

    func export(_ device: FileDescriptor, bar: UInt32, _ ranges: [(UInt64, UInt64)]) throws(Errno) -> FileDescriptor {
        var words: [UInt32] = [
            UInt32(24 + 16 * ranges.count), CVFIO_DEVICE_FEATURE_GET | CVFIO_DEVICE_FEATURE_DMA_BUF, bar,
            UInt32(bitPattern: 0o2 | 0o2000000), 0, UInt32(ranges.count),
        ]
        for (offset, count) in ranges {
            for value in [offset, count] {
                words += [UInt32(truncatingIfNeeded: value), UInt32(truncatingIfNeeded: value >> 32)]
            }
        }
        return FileDescriptor(rawValue: Int32(try control(device, CVFIO_DEVICE_FEATURE, bytes: Self.bytes(words))))
    }

    // MARK: Registers

    func read<Value: FixedWidthInteger>(_ device: FileDescriptor, _ region: UInt64, _ offset: UInt64) throws(Errno)
        -> Value
    {
        var value: Value = 0
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Value.bitWidth / 8, alignment: 8)
        defer { buffer.deallocate() }
        let count = try kernel.read(device, at: region << 40 + offset, into: buffer)
        #expect(count == buffer.count)
        withUnsafeMutableBytes(of: &value) { $0.copyMemory(from: UnsafeRawBufferPointer(buffer)) }
        return value
    }

    func write(_ device: FileDescriptor, _ region: UInt64, _ offset: UInt64, _ value: some FixedWidthInteger)
        throws(Errno)
    {
        let bytes = withUnsafeBytes(of: value) { Array($0) }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 8)
        defer { buffer.deallocate() }
        buffer.copyBytes(from: bytes)
        _ = try kernel.write(device, at: region << 40 + offset, from: UnsafeRawBufferPointer(buffer))
    }

    func setCommand(_ device: FileDescriptor, _ value: UInt16) throws(Errno) { try write(device, 7, 4, value) }

    /// A transfer of edu's between its buffer and an IOVA.
    func transfer(_ device: FileDescriptor, iova: UInt64, _ count: UInt64, toMemory: Bool, interrupt: Bool = false)
        throws(Errno)
    {
        try write(device, 0, 0x80, toMemory ? 0x40000 : iova)
        try write(device, 0, 0x88, toMemory ? iova : 0x40000)
        try write(device, 0, 0x90, count)
        try write(device, 0, 0x98, UInt64(1 | (toMemory ? 2 : 0) | (interrupt ? 4 : 0)))
    }

    func enableMSI(_ device: FileDescriptor, _ index: UInt32, _ events: [FileDescriptor]) throws(Errno) {
        let words: [UInt32] =
            [
                UInt32(20 + 4 * events.count),
                CVFIO_IRQ_SET_DATA_EVENTFD | CVFIO_IRQ_SET_ACTION_TRIGGER, index, 0, UInt32(events.count),
            ] + events.map { UInt32(bitPattern: $0.rawValue) }
        _ = try control(device, CVFIO_DEVICE_SET_IRQS, bytes: Self.bytes(words))
    }

    func close(_ files: FileDescriptor...) throws(Errno) { for file in files { try kernel.close(file) } }
}
