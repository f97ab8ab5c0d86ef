import CVFIO
import SystemPackage

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
        var request = cvfio_iommu_type1_dma_map()
        request.argsz = size
        request.flags = flags
        request.vaddr = address
        request.iova = iova
        request.size = byteCount
        return try kernel.control(container, CVFIO_IOMMU_MAP_DMA, with: &request)
    }

    /// How much was unmapped.
    func unmap(
        _ iova: UInt64, _ byteCount: UInt64, flags: UInt32 = 0, size: UInt32 = 24
    ) throws(Errno) -> UInt64 {
        var request = cvfio_iommu_type1_dma_unmap()
        request.argsz = size
        request.flags = flags
        request.iova = iova
        request.size = byteCount
        _ = try kernel.control(container, CVFIO_IOMMU_UNMAP_DMA, with: &request)
        return request.size
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
        var descriptor = container.rawValue
        _ = try kernel.control(group, CVFIO_GROUP_SET_CONTAINER, with: &descriptor)
        _ = try kernel.control(container, CVFIO_SET_IOMMU, value: CVFIO_TYPE1v2_IOMMU)
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
        var request = ciommu_ioas_alloc()
        request.size = UInt32(MemoryLayout<ciommu_ioas_alloc>.size)
        _ = try kernel.control(descriptor, CIOMMU_IOAS_ALLOC, with: &request)
        ioas = request.out_ioas_id
    }

    func map(
        _ address: UInt64, _ byteCount: UInt64, at iova: UInt64, flags: UInt32 = 7, ioas: UInt32? = nil,
        size: UInt32? = nil
    ) throws(Errno) -> Int {
        var request = ciommu_ioas_map()
        request.size = size ?? UInt32(MemoryLayout<ciommu_ioas_map>.size)
        request.flags = flags
        request.ioas_id = ioas ?? self.ioas
        request.user_va = address
        request.length = byteCount
        request.iova = iova
        return try kernel.control(descriptor, CIOMMU_IOAS_MAP, with: &request)
    }

    func mapFile(_ file: FileDescriptor, _ byteCount: UInt64, at iova: UInt64, start: UInt64 = 0) throws(Errno) -> Int {
        var request = ciommu_ioas_map_file()
        request.size = UInt32(MemoryLayout<ciommu_ioas_map_file>.size)
        request.flags = 7
        request.ioas_id = ioas
        request.fd = file.rawValue
        request.start = start
        request.length = byteCount
        request.iova = iova
        return try kernel.control(descriptor, CIOMMU_IOAS_MAP_FILE, with: &request)
    }

    /// How much was unmapped.
    func unmap(_ iova: UInt64, _ byteCount: UInt64) throws(Errno) -> UInt64 {
        var request = ciommu_ioas_unmap()
        request.size = UInt32(MemoryLayout<ciommu_ioas_unmap>.size)
        request.ioas_id = ioas
        request.iova = iova
        request.length = byteCount
        _ = try kernel.control(descriptor, CIOMMU_IOAS_UNMAP, with: &request)
        return request.length
    }

    func bind(_ device: FileDescriptor, to iommufd: Int32? = nil) throws(Errno) -> Int {
        var request = cvfio_device_bind_iommufd()
        request.argsz = 16
        request.iommufd = iommufd ?? descriptor.rawValue
        return try kernel.control(device, CVFIO_DEVICE_BIND_IOMMUFD, with: &request)
    }

    func attach(_ device: FileDescriptor, to object: UInt32? = nil) throws(Errno) -> Int {
        var request = cvfio_device_attach_iommufd_pt()
        request.argsz = 12
        request.pt_id = object ?? ioas
        return try kernel.control(device, CVFIO_DEVICE_ATTACH_IOMMUFD_PT, with: &request)
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
        var info = cvfio_iommu_type1_info()
        info.argsz = size
        _ = try kernel.control(container, CVFIO_IOMMU_GET_INFO, with: &info)
        return info
    }

    func close() throws { try kernel.close(container) }
}
