import Synchronization

@testable import VFIO

extension ScriptedKernel {
    /// Where the device of ``machine()`` sits.
    static let address: PCIAddress = "0000:00:01.0"

    /// The file offset of a region of the device of ``machine()``.
    static func offset(ofRegion index: UInt32) -> UInt64 { UInt64(index) * regionSpacing }

    static let regionSpacing: UInt64 = 1 << 40

    /// A kernel that behaves: an iommufd, a type1 container, and one device with config space, a mappable BAR 0 and
    /// interrupts. A test then overwrites the answers that it wants odd.
    static func machine(config: RegionBytes = .config()) -> ScriptedKernel {
        let kernel = ScriptedKernel()
        kernel.addSysfs()
        kernel.addIOMMUFD()
        kernel.addType1()
        kernel.addDevice()
        let memory = RegionBytes([UInt8](repeating: 0, count: 8192))
        kernel.onReadAt { (offset, bytes) throws(Errno) in
            let region = try Self.regions(at: offset, config: config, memory: memory)
            return region.read(at: offset % Self.regionSpacing, into: bytes)
        }
        kernel.onWriteAt { (offset, bytes) throws(Errno) in
            let region = try Self.regions(at: offset, config: config, memory: memory)
            return region.write(at: offset % Self.regionSpacing, from: bytes)
        }
        return kernel
    }

    /// What a file offset of the device leads to: its config space, or its BARs, which have all the same memory.
    private static func regions(
        at offset: UInt64, config: RegionBytes, memory: RegionBytes
    ) throws(Errno) -> RegionBytes {
        switch offset / regionSpacing {
        case UInt64(CVFIO_PCI_CONFIG_REGION_INDEX): config
        case UInt64(CVFIO_PCI_BAR0_REGION_INDEX)...UInt64(CVFIO_PCI_BAR5_REGION_INDEX): memory
        default: throw .invalidArgument
        }
    }

    /// The device of ``machine()``, in an address space of its own.
    func device(_ interface: AddressSpace.Interface = .iommufd) throws(VFIOError) -> Device {
        try Device(at: Self.address, in: try AddressSpace(interface, kernel: self))
    }

    private func addSysfs() {
        let folder = "/sys/bus/pci/devices/\(Self.address)"
        addFolder(folder, ["driver", "iommu_group", "vfio-dev"])
        addFolder(folder + "/vfio-dev", ["vfio0"])
        addLink(folder + "/iommu_group", to: "../../../kernel/iommu_groups/5")
        addLink(folder + "/driver", to: "../../../bus/pci/drivers/vfio-pci")
        addFolder("/sys/kernel/iommu_groups/5/devices", ["\(Self.address)"])
        for node in ["/dev/iommu", "/dev/vfio/devices/vfio0", "/dev/vfio/vfio", "/dev/vfio/5"] { addNode(node) }
    }

    private func addIOMMUFD() {
        accept(CIOMMU_IOAS_ALLOC, ciommu_ioas_alloc.self) { $0.out_ioas_id = 3 }
        answerRanges([0...0xffff_ffff])
        accept(CVFIO_DEVICE_BIND_IOMMUFD)
        accept(CVFIO_DEVICE_ATTACH_IOMMUFD_PT)
        accept(CIOMMU_IOAS_MAP)
        accept(CIOMMU_IOAS_MAP_FILE)
        accept(CIOMMU_IOAS_UNMAP)
    }

    /// Answers `IOMMU_IOAS_IOVA_RANGES`, in its two steps.
    func answerRanges(_ ranges: [ClosedRange<UInt64>], alignment: UInt64 = 4096) {
        answer(CIOMMU_IOAS_IOVA_RANGES, ciommu_ioas_iova_ranges.self) { (request) throws(Errno) in
            let room = Int(request.num_iovas)
            let target = UnsafeMutablePointer<ciommu_iova_range>(bitPattern: UInt(request.allowed_iovas))!
            for (index, range) in ranges.prefix(room).enumerated() {
                target[index].start = range.lowerBound
                target[index].last = range.upperBound
            }
            request.num_iovas = UInt32(ranges.count)
            request.out_iova_alignment = alignment
            if ranges.count > room { throw .messageTooLong }
            return 0
        }
    }

    private func addType1() {
        answerValue(CVFIO_GET_API_VERSION) { (_) throws(Errno) in 0 }
        answerValue(CVFIO_CHECK_EXTENSION) { (_) throws(Errno) in 1 }
        answerValue(CVFIO_SET_IOMMU) { (_) throws(Errno) in 0 }
        accept(CVFIO_GROUP_GET_STATUS, cvfio_group_status.self) { $0.flags = CVFIO_GROUP_FLAGS_VIABLE }
        accept(CVFIO_GROUP_SET_CONTAINER)
        answer(CVFIO_GROUP_GET_DEVICE_FD) { [unowned self] (_) throws(Errno) in Int(makeDescriptor("device").rawValue) }
        answerType1Info { Bytes(ranges: 1, [0x1000, 0xffff_ffff]) }
        accept(CVFIO_IOMMU_MAP_DMA)
        accept(CVFIO_IOMMU_UNMAP_DMA)
    }

    /// Answers `VFIO_IOMMU_GET_INFO` with these bytes as capabilities, behind the structure.
    func answerType1Info(pageSizes: UInt64? = 4096, _ capabilities: @escaping @Sendable () -> Bytes) {
        let headerSize = MemoryLayout<cvfio_iommu_type1_info>.size
        accept(CVFIO_IOMMU_GET_INFO) { bytes in
            let tail = capabilities().raw
            var info = cvfio_iommu_type1_info()
            info.argsz = UInt32(headerSize + tail.count)
            info.flags = CVFIO_IOMMU_INFO_CAPS | (pageSizes == nil ? 0 : CVFIO_IOMMU_INFO_PGSIZES)
            info.iova_pgsizes = pageSizes ?? 0
            info.cap_offset = bytes.count >= headerSize + tail.count ? UInt32(headerSize) : 0
            bytes.storeBytes(of: info, as: cvfio_iommu_type1_info.self)
            if info.cap_offset != 0 { bytes[headerSize..<(headerSize + tail.count)].copyBytes(from: tail) }
        }
    }

    private func addDevice() {
        accept(CVFIO_DEVICE_GET_INFO, cvfio_device_info.self) { info in
            info.flags = CVFIO_DEVICE_FLAGS_PCI | CVFIO_DEVICE_FLAGS_RESET
            info.num_regions = CVFIO_PCI_NUM_REGIONS
            info.num_irqs = CVFIO_PCI_NUM_IRQS
        }
        accept(CVFIO_DEVICE_GET_REGION_INFO, cvfio_region_info.self) { region in
            region.flags = CVFIO_REGION_INFO_FLAG_READ | CVFIO_REGION_INFO_FLAG_WRITE
            region.offset = Self.offset(ofRegion: region.index)
            switch region.index {
            case CVFIO_PCI_BAR0_REGION_INDEX:
                region.size = 8192
                region.flags |= CVFIO_REGION_INFO_FLAG_MMAP
            case CVFIO_PCI_CONFIG_REGION_INDEX: region.size = 256
            default: region.size = 0
            }
        }
        accept(CVFIO_DEVICE_GET_IRQ_INFO, cvfio_irq_info.self) { info in
            info.flags = CVFIO_IRQ_INFO_EVENTFD | (info.index == CVFIO_PCI_MSIX_IRQ_INDEX ? CVFIO_IRQ_INFO_NORESIZE : 0)
            info.count = info.index == CVFIO_PCI_INTX_IRQ_INDEX ? 1 : 8
        }
        accept(CVFIO_DEVICE_SET_IRQS)
        answerValue(CVFIO_DEVICE_RESET) { (_) throws(Errno) in 0 }
        answer(CVFIO_DEVICE_FEATURE) { [unowned self] (_) throws(Errno) in
            Int(makeDescriptor("dma-buf", size: 4096).rawValue)
        }
    }
}

/// A region of the scripted device: plain bytes.
final class RegionBytes: Sendable {
    private let bytes: Mutex<[UInt8]>

    init(_ bytes: [UInt8]) { self.bytes = Mutex(bytes) }

    /// A config space with memory decode on.
    static func config(_ bytes: [UInt64: UInt8] = [:]) -> RegionBytes {
        var all = [UInt8](repeating: 0, count: 256)
        all[0x04] = 0x02
        for (offset, byte) in bytes { all[Int(offset)] = byte }
        return RegionBytes(all)
    }

    subscript(offset: Int) -> UInt8 { bytes.withLock { $0[offset] } }

    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Int {
        bytes.withLock { bytes in
            guard let first = Int(exactly: offset), first < bytes.count else { return 0 }
            let count = min(buffer.count, bytes.count - first)
            buffer.copyBytes(from: bytes[first..<(first + count)])
            return count
        }
    }

    func write(at offset: UInt64, from buffer: UnsafeMutableRawBufferPointer) -> Int {
        bytes.withLock { bytes in
            guard let first = Int(exactly: offset), first < bytes.count else { return 0 }
            let count = min(buffer.count, bytes.count - first)
            bytes.replaceSubrange(first..<(first + count), with: buffer.prefix(count))
            return count
        }
    }
}

/// Bytes that a test puts together.
struct Bytes: Sendable {
    var raw: [UInt8] = []

    init() {}
    init<Value: BitwiseCopyable>(_ value: Value) { append(value) }

    /// A capability: its header, and words behind it.
    init(capability id: UInt16, version: UInt16 = 1, next: UInt32 = 0, _ words: [UInt32] = []) {
        append(cvfio_info_cap_header(id: id, version: version, next: next))
        for word in words { append(word) }
    }

    /// The capability of a container that has ranges of IOVAs: how many, and their first and last addresses.
    init(ranges count: UInt32, next: UInt32 = 0, _ bounds: [UInt64]) {
        self.init(capability: CVFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, next: next, [count, 0])
        for bound in bounds { append(bound) }
    }

    mutating func append<each Value: BitwiseCopyable>(_ value: repeat each Value) {
        for value in repeat each value { withUnsafeBytes(of: value) { raw += $0 } }
    }
}
