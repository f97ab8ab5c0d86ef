@testable import VFIO

/// Memory of the process, by its address.
struct Memory: ~Copyable, Closable {
    private let kernel: any Kernel
    let bytes: UnsafeMutableRawBufferPointer

    init(_ kernel: any Kernel, pageCount: Int) throws {
        self.kernel = kernel
        let count = pageCount * 4096
        bytes = UnsafeMutableRawBufferPointer(
            start: try kernel.map(MemoryMapRequest(byteCount: count, source: .anonymous(hugePageSize: nil))),
            count: count)
    }

    var address: UInt64 { UInt64(UInt(bitPattern: bytes.baseAddress)) }

    consuming func close() throws { try kernel.unmap(bytes) }
}

/// The requests of type1, to a container or to an iommufd that is used as one.
protocol RawType1: Closable {
    var kernel: any Kernel { get }
    var container: FileDescriptor { get }
}

extension RawType1 {
    func map(
        _ address: UInt64, _ byteCount: UInt64, at iova: UInt64, flags: UInt32 = 3, size: UInt32 = 32
    ) throws(Errno) -> Int {
        try kernel.control(
            container, CVFIO_IOMMU_MAP_DMA,
            of: cvfio_iommu_type1_dma_map(argsz: size, flags: flags, vaddr: address, iova: iova, size: byteCount))
    }

    /// How much was unmapped.
    func unmap(
        _ iova: UInt64, _ byteCount: UInt64, flags: UInt32 = 0, size: UInt32 = 24
    ) throws(Errno) -> UInt64 {
        var request = cvfio_iommu_type1_dma_unmap(argsz: size, flags: flags, iova: iova, size: byteCount)
        _ = try kernel.control(container, CVFIO_IOMMU_UNMAP_DMA, with: &request)
        return request.size
    }

    /// The error of an unmap, and the size that is in the request then.
    func refusedUnmap(_ iova: UInt64, _ byteCount: UInt64, flags: UInt32 = 0) -> (errno: Errno?, byteCount: UInt64) {
        var request = cvfio_iommu_type1_dma_unmap(argsz: 24, flags: flags, iova: iova, size: byteCount)
        do throws(Errno) {
            _ = try kernel.control(container, CVFIO_IOMMU_UNMAP_DMA, with: &request)
            return (nil, request.size)
        } catch { return (error, request.size) }
    }
}

/// A type1 container with the group of one device, without the library in between.
struct RawContainer: RawType1 {
    let kernel: any Kernel
    let container: FileDescriptor
    let group: FileDescriptor
    let node: FilePath

    init(_ kernel: any Kernel, device: PCIAddress) throws {
        self.kernel = kernel
        let link = try kernel.readLink(FilePath("/sys/bus/pci/devices/\(device)/iommu_group"))
        node = FilePath("/dev/vfio/\(link.lastComponent!.string)")
        container = try kernel.open("/dev/vfio/vfio", .readWrite)
        group = try kernel.open(node, .readWrite)
        try ABI.setContainer(container).send(to: group, of: kernel)
        try ABI.setIOMMU(CVFIO_TYPE1v2_IOMMU).send(to: container, of: kernel)
    }

    func close() throws {
        try kernel.close(group)
        try kernel.close(container)
    }
}

/// An IO address space of an iommufd, without the library in between.
struct RawIOMMUFD: Closable {
    private let kernel: any Kernel
    let descriptor: FileDescriptor
    let ioas: UInt32

    init(_ kernel: any Kernel) throws {
        self.kernel = kernel
        descriptor = try kernel.open("/dev/iommu", .readWrite)
        ioas = try ABI.makeIOAS().send(to: descriptor, of: kernel)
    }

    func map(
        _ address: UInt64, _ byteCount: UInt64, at iova: UInt64, flags: UInt32 = 7, ioas: UInt32? = nil,
        size: UInt32 = 40
    ) throws(Errno) -> Int {
        try kernel.control(
            descriptor, CIOMMU_IOAS_MAP,
            of: ciommu_ioas_map(
                size: size, flags: flags, ioas_id: ioas ?? self.ioas, __reserved: 0, user_va: address,
                length: byteCount, iova: iova))
    }

    func mapFile(_ file: FileDescriptor, _ byteCount: UInt64, at iova: UInt64, start: UInt64 = 0) throws(Errno) -> Int {
        try kernel.control(
            descriptor, CIOMMU_IOAS_MAP_FILE,
            of: ciommu_ioas_map_file(
                size: 40, flags: 7, ioas_id: ioas, fd: file.rawValue, start: start, length: byteCount, iova: iova))
    }

    /// How much was unmapped.
    func unmap(_ iova: UInt64, _ byteCount: UInt64) throws(Errno) -> UInt64 {
        try ABI.unmap(ioas, iova, byteCount: byteCount).send(to: descriptor, of: kernel).length
    }

    func bind(_ device: FileDescriptor, to iommufd: Int32? = nil) throws(Errno) -> Int {
        let request = cvfio_device_bind_iommufd(
            argsz: 16, flags: 0, iommufd: iommufd ?? descriptor.rawValue, out_devid: 0, token_uuid_ptr: 0)
        return try kernel.control(device, CVFIO_DEVICE_BIND_IOMMUFD, of: request)
    }

    func attach(_ device: FileDescriptor, to object: UInt32? = nil) throws(Errno) -> Int {
        try kernel.control(
            device, CVFIO_DEVICE_ATTACH_IOMMUFD_PT,
            of: cvfio_device_attach_iommufd_pt(argsz: 12, flags: 0, pt_id: object ?? ioas, pasid: 0))
    }

    func close() throws { try kernel.close(descriptor) }
}

extension Bench {
    /// The node of a device's group, whose name may begin with a mark.
    func groupNode(of device: PCIAddress, _ mark: String = "") throws -> FilePath {
        let link = try kernel.readLink(FilePath("/sys/bus/pci/devices/\(device)/iommu_group"))
        return FilePath("/dev/vfio/\(mark)\(link.lastComponent!.string)")
    }

    /// A device's own node.
    func deviceNode(of device: PCIAddress) throws -> FilePath {
        let names = try kernel.names(in: FilePath("/sys/bus/pci/devices/\(device)/vfio-dev"))
        return FilePath("/dev/vfio/devices/\(names[0])")
    }
}

/// An iommufd that is used as a container, without the library in between.
struct RawIOMMUFDContainer: RawType1 {
    let kernel: any Kernel
    let container: FileDescriptor

    init(_ kernel: any Kernel, _ descriptor: FileDescriptor) {
        self.kernel = kernel
        container = descriptor
    }

    func choose(_ type: UInt) throws(Errno) -> Int { try kernel.control(container, CVFIO_SET_IOMMU, value: type) }

    func info(size: UInt32 = 16) throws(Errno) -> cvfio_iommu_type1_info {
        var info = cvfio_iommu_type1_info(argsz: size, flags: 0, iova_pgsizes: 0, cap_offset: 0, pad: 0)
        _ = try kernel.control(container, CVFIO_IOMMU_GET_INFO, with: &info)
        return info
    }

    func close() throws { try kernel.close(container) }
}
