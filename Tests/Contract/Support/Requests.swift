import CVFIO
import Glibc
import SystemPackage

@testable import VFIO

// Requests as the kernel sees them, for what the library refuses to ask.

extension Kernel {
    /// `VFIO_DEVICE_FEATURE` without data.
    func feature(_ device: FileDescriptor, _ flags: UInt32, size: UInt32? = nil) throws(Errno) -> Int {
        var request = cvfio_device_feature()
        request.argsz = size ?? UInt32(MemoryLayout<cvfio_device_feature>.size)
        request.flags = flags
        return try control(device, CVFIO_DEVICE_FEATURE, with: &request)
    }

    /// `VFIO_DEVICE_FEATURE_DMA_BUF`, with anything in it.
    func export(_ device: FileDescriptor, _ request: ExportRequest) throws(Errno) -> Int {
        typealias Entry = cvfio_region_dma_range
        let headerSize = MemoryLayout<cvfio_device_feature>.size + MemoryLayout<cvfio_device_feature_dma_buf>.size
        let byteCount = headerSize + request.ranges.count * MemoryLayout<Entry>.size
        let buffer = RequestBuffer(byteCount: byteCount)
        var feature = cvfio_device_feature()
        feature.argsz = request.size ?? UInt32(byteCount)
        feature.flags = request.operation | CVFIO_DEVICE_FEATURE_DMA_BUF
        buffer.store(feature, at: 0)
        var export = cvfio_device_feature_dma_buf()
        export.region_index = request.region
        export.open_flags = UInt32(request.openFlags)
        export.flags = request.flags
        export.nr_ranges = request.rangeCount ?? UInt32(request.ranges.count)
        buffer.store(export, at: MemoryLayout<cvfio_device_feature>.size)
        for (index, range) in request.ranges.enumerated() {
            var entry = Entry()
            entry.offset = range.offset
            entry.length = range.length
            buffer.store(entry, at: headerSize + index * MemoryLayout<Entry>.size)
        }
        return try control(device, CVFIO_DEVICE_FEATURE, with: buffer)
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
        let bytes = Array(text.utf8) + [0]
        let buffer = RequestBuffer(byteCount: bytes.count)
        for (offset, byte) in bytes.enumerated() { buffer.store(byte, at: offset) }
        return try control(descriptor, request, with: buffer)
    }
}

extension Kernel {
    /// `VFIO_DEVICE_SET_IRQS`, with events or without data.
    func setInterrupts(
        _ device: FileDescriptor, _ index: InterruptIndex, _ action: UInt32, _ start: UInt32, _ count: UInt32,
        events: [Int32] = []
    ) throws(Errno) -> Int {
        var request = cvfio_irq_set()
        let size = MemoryLayout<cvfio_irq_set>.size
        request.argsz = UInt32(size + events.count * 4)
        request.flags = action | (events.isEmpty ? CVFIO_IRQ_SET_DATA_NONE : CVFIO_IRQ_SET_DATA_EVENTFD)
        request.index = index.rawValue
        request.start = start
        request.count = count
        let buffer = RequestBuffer(request, tail: events.count * 4)
        for (position, event) in events.enumerated() { buffer.store(event, at: size + position * 4) }
        return try control(device, CVFIO_DEVICE_SET_IRQS, with: buffer)
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
        var request = cvfio_device_feature()
        let size = MemoryLayout<cvfio_device_feature>.size
        request.argsz = UInt32(size + words.count * 4)
        request.flags = flags
        let buffer = RequestBuffer(request, tail: words.count * 4)
        for (position, word) in words.enumerated() { buffer.store(word, at: size + position * 4) }
        return try control(device, CVFIO_DEVICE_FEATURE, with: buffer)
    }
}

extension IOMMUFDFile {
    func destroy(_ object: UInt32) throws(Errno) { try ABI.destroy(object).perform(on: self) }

    /// `IOMMU_OPTION`, with anything in it.
    func option(_ number: UInt32, of object: UInt32 = 0, set value: UInt64? = nil) throws(Errno) -> UInt64 {
        var request = ciommu_option()
        request.size = UInt32(MemoryLayout<ciommu_option>.size)
        request.option_id = number
        request.op = value == nil ? CIOMMU_OPTION_OP_GET : CIOMMU_OPTION_OP_SET
        request.object_id = object
        request.val64 = value ?? 0
        _ = try kernel.control(descriptor, CIOMMU_OPTION, with: &request)
        return request.val64
    }
}
