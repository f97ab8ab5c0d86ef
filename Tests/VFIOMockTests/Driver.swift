// What is exported here, the other files of the target need not import.
@_exported import CVFIO
@_exported import SystemPackage
@_exported import TestSupport
@_exported import Testing
@_exported import VFIO
@_exported import VFIOMock

/// The few calls that the tests need of a driver, straight to the seam.
struct Driver {
    let kernel: any Kernel

    init(_ machine: MockMachine) { kernel = machine.kernel }

    /// A request as the library makes it.
    @discardableResult
    func ask<Answer>(_ file: FileDescriptor, _ request: some ABIRequest<Answer>) throws(Errno) -> Answer {
        try request.send(to: file, of: kernel)
    }

    /// A request with anything in its structure.
    @discardableResult
    func control<Structure>(_ file: FileDescriptor, _ request: UInt, _ argument: inout Structure) throws(Errno) -> Int {
        try withUnsafeMutableBytes(of: &argument) { (bytes) throws(Errno) in try kernel.control(file, request, bytes) }
    }

    @discardableResult
    func control(_ file: FileDescriptor, _ request: UInt, words: [UInt32]) throws(Errno) -> Int {
        let buffer = RequestBuffer(ABI.bytes(words))
        defer { withExtendedLifetime(buffer) {} }
        return try kernel.control(file, request, buffer.bytes)
    }

    // MARK: Opening

    /// Opens a device through its group, in a container.
    func openLegacy(
        _ address: PCIAddress, group: Int
    ) throws(Errno) -> (container: FileDescriptor, group: FileDescriptor, device: FileDescriptor) {
        let container = try kernel.open("/dev/vfio/vfio", .readWrite)
        let file = try kernel.open(FilePath("/dev/vfio/\(group)"), .readWrite)
        try ask(file, ABI.setContainer(container))
        try ask(container, ABI.setIOMMU(CVFIO_TYPE1v2_IOMMU))
        return (container, file, try ask(file, ABI.getGroupDevice("\(address)")))
    }

    /// Opens an iommufd, with an address space.
    func openIOMMUFD() throws(Errno) -> (file: FileDescriptor, ioas: UInt32) {
        let file = try kernel.open("/dev/iommu", .readWrite)
        return (file, try ask(file, ABI.makeIOAS()))
    }

    /// Opens a device by its own node, bound to an iommufd and attached to an address space.
    func openNode(_ number: Int, _ iommufd: FileDescriptor, ioas: UInt32) throws(Errno) -> FileDescriptor {
        let device = try kernel.open(FilePath("/dev/vfio/devices/vfio\(number)"), .readWrite)
        try ask(device, ABI.bindDevice(to: iommufd, token: nil))
        try ask(device, ABI.attachDevice(to: ioas))
        return device
    }

    // MARK: Mapping

    func map(_ container: FileDescriptor, _ memory: UnsafeMutableRawPointer, _ count: Int, at iova: UInt64)
        throws(Errno)
    {
        let memory = UnsafeRawBufferPointer(start: memory, count: count)
        try ask(container, ABI.mapDMA(memory, at: iova, isReadable: true, isWritable: true))
    }

    func map(
        _ iommufd: FileDescriptor, _ ioas: UInt32, _ memory: UnsafeMutableRawPointer, _ count: Int, at iova: UInt64
    ) throws(Errno) {
        let memory = UnsafeRawBufferPointer(start: memory, count: count)
        try ask(iommufd, ABI.mapMemory(ioas, memory, at: iova, isReadable: true, isWritable: true))
    }

    func mapFile(
        _ iommufd: FileDescriptor, _ ioas: UInt32, _ file: FileDescriptor, _ count: UInt64, at iova: UInt64
    ) throws(Errno) {
        let request = ABI.mapFile(
            ioas, file, from: 0, byteCount: count, at: iova, isReadable: true, isWritable: true)
        try ask(iommufd, request)
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

    func export(_ device: FileDescriptor, bar: UInt32, _ range: Range<UInt64>) throws(Errno) -> FileDescriptor {
        try ask(device, ABI.exportDMABuf(of: bar, [range], isWritable: true))
    }

    // MARK: Registers

    func read<Value: FixedWidthInteger>(_ device: FileDescriptor, _ region: UInt64, _ offset: UInt64) throws(Errno)
        -> Value
    {
        var value: Value = 0
        let count = try withUnsafeMutableBytes(of: &value) { (bytes) throws(Errno) in
            try kernel.read(device, at: region << 40 + offset, into: bytes)
        }
        #expect(count == Value.bitWidth / 8)
        return value
    }

    func write(_ device: FileDescriptor, _ region: UInt64, _ offset: UInt64, _ value: some FixedWidthInteger)
        throws(Errno)
    {
        _ = try withUnsafeBytes(of: value) { (bytes) throws(Errno) in
            try kernel.write(device, at: region << 40 + offset, from: bytes)
        }
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
        try ask(device, ABI.setIRQs(.trigger, index, from: 0, .events(events)))
    }

    func close(_ files: FileDescriptor...) throws(Errno) { for file in files { try kernel.close(file) } }
}
