import Glibc

@testable import VFIO

// Requests as the kernel sees them, for what the library refuses to ask.

extension Kernel {
    /// A request on a structure that nobody looks at afterwards.
    func control<Structure: BitwiseCopyable>(
        _ descriptor: FileDescriptor, _ request: UInt, of structure: Structure
    ) throws(Errno) -> Int {
        var structure = structure
        return try control(descriptor, request, with: &structure)
    }

    /// `VFIO_DEVICE_FEATURE` without data.
    func feature(_ device: FileDescriptor, _ flags: UInt32, size: UInt32 = 8) throws(Errno) -> Int {
        try control(device, CVFIO_DEVICE_FEATURE, of: cvfio_device_feature(argsz: size, flags: flags))
    }

    /// `VFIO_DEVICE_FEATURE_DMA_BUF`, with anything in it.
    func export(_ device: FileDescriptor, _ request: ExportRequest) throws(Errno) -> Int {
        let export = cvfio_device_feature_dma_buf(
            region_index: request.region, open_flags: UInt32(request.openFlags), flags: request.flags,
            nr_ranges: request.rangeCount ?? UInt32(request.ranges.count))
        let data = ABI.bytes([export]) + ABI.bytes(request.ranges.flatMap { [$0.offset, $0.length] })
        let feature = cvfio_device_feature(
            argsz: request.size ?? UInt32(8 + data.count), flags: request.operation | CVFIO_DEVICE_FEATURE_DMA_BUF)
        return try control(device, CVFIO_DEVICE_FEATURE, with: RequestBuffer(ABI.bytes([feature]) + data))
    }

    /// A text file of the kernel's, such as `/proc/self/fdinfo/7`.
    func text(of path: FilePath) throws(Errno) -> String { String(decoding: try readFile(path), as: UTF8.self) }
}

/// A request for a dma-buf, good unless something in it is changed.
struct ExportRequest {
    var region: UInt32 = 2
    var ranges: [(offset: UInt64, length: UInt64)] = [(0, 4096)]
    var openFlags = O_CLOEXEC | O_RDWR
    var flags: UInt32 = 0
    /// When it is not the number of ranges.
    var rangeCount: UInt32?
    /// When it is not the length of the request.
    var size: UInt32?
    var operation = CVFIO_DEVICE_FEATURE_GET
}

extension Kernel {
    /// A request whose argument is a C string.
    func control(_ descriptor: FileDescriptor, _ request: UInt, text: String) throws(Errno) -> Int {
        try control(descriptor, request, with: RequestBuffer(Array(text.utf8) + [0]))
    }
}

extension Kernel {
    /// `VFIO_DEVICE_SET_IRQS`, with events or without data.
    func setInterrupts(
        _ device: FileDescriptor, _ index: InterruptIndex, _ action: UInt32, _ start: UInt32, _ count: UInt32,
        events: [Int32] = []
    ) throws(Errno) -> Int {
        let request = cvfio_irq_set(
            argsz: UInt32(20 + events.count * 4),
            flags: action | (events.isEmpty ? CVFIO_IRQ_SET_DATA_NONE : CVFIO_IRQ_SET_DATA_EVENTFD),
            index: index.rawValue, start: start, count: count)
        return try control(
            device, CVFIO_DEVICE_SET_IRQS, with: RequestBuffer(ABI.bytes([request]) + ABI.bytes(events)))
    }

    /// Adds one to an eventfd's count.
    func signal(_ event: FileDescriptor) throws(Errno) {
        var one: UInt64 = 1
        _ = try withUnsafeBytes(of: &one) { (bytes) throws(Errno) in try write(event, from: bytes) }
    }
}

extension Kernel {
    /// `VFIO_DEVICE_FEATURE` with words after the header.
    func feature(_ device: FileDescriptor, _ flags: UInt32, words: [UInt32]) throws(Errno) -> Int {
        let content = [UInt32(8 + words.count * 4), flags] + words
        return try control(device, CVFIO_DEVICE_FEATURE, with: RequestBuffer(ABI.bytes(content)))
    }
}

extension IOMMUFDFile {
    func destroy(_ object: UInt32) throws(Errno) { try ABI.destroy(object).perform(on: self) }

    /// `IOMMU_OPTION`, with anything in it.
    func option(_ number: UInt32, of object: UInt32 = 0, set value: UInt64? = nil) throws(Errno) -> UInt64 {
        var request = ciommu_option(
            size: 24, option_id: number, op: value == nil ? CIOMMU_OPTION_OP_GET : CIOMMU_OPTION_OP_SET, __reserved: 0,
            object_id: object, val64: value ?? 0)
        _ = try kernel.control(descriptor, CIOMMU_OPTION, with: &request)
        return request.val64
    }
}
