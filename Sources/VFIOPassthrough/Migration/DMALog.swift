internal import SystemPackage
public import VFIO

/// A log of the pages that a device writes by DMA, which the device keeps itself.
/// The corresponding request is `VFIO_DEVICE_FEATURE_DMA_LOGGING_START`.
///
/// ```swift
/// let log = try device.startDMALog(of: [buffer.iova..<end])
/// // … the device works
/// for page in try log.takeDirtyPages(in: buffer.iova..<end) { … }
/// ```
/// It is stopped when this value is closed or deinitialized.
public struct DMALog: ~Copyable, Sendable {
    private let lease: DeviceLease
    /// The page size of the log in bytes, as chosen by the kernel. A power of two.
    public let pageSize: UInt64
    /// The ranges that are logged.
    public let ranges: [Range<IOVA>]
    private var isOpen = true

    private var core: DeviceCore { lease.core }

    init(_ core: DeviceCore, _ ranges: [Range<IOVA>], pageSize: UInt64) throws(VFIOError) {
        let words = "start the log of DMA"
        let operation = ABI.Call.startDMALog.operation(words)
        let subject = "\(core.address)"
        try Self.check(ranges, pageSize, operation, subject)
        let request = ABI.startDMALog(
            of: ranges.map { $0.lowerBound.rawValue..<$0.upperBound.rawValue }, pageSize: pageSize)
        let chosen = try request.perform(
            on: core, words, subject, lacking: "the driver logs no DMA",
            refusals: [
                .argListTooLong: (.limit, "\(ranges.count) ranges are more than it takes"),
                .invalidArgument: (
                    .kernel, "the device keeps a log already, or none of these ranges or of this page size"
                ),
            ])
        guard chosen.nonzeroBitCount == 1 else {
            try? ABI.stopDMALog().perform(on: core)
            throw VFIOError(
                .unexpectedAnswer, operation, subject, hint: "the page size \(chosen) is no power of two")
        }
        self.lease = DeviceLease(core, for: .dmaLog)
        self.pageSize = chosen
        self.ranges = ranges
    }

    private static func check(
        _ ranges: [Range<IOVA>], _ pageSize: UInt64, _ operation: String, _ subject: String
    ) throws(VFIOError) {
        guard pageSize.nonzeroBitCount == 1 else {
            throw VFIOError(
                .invalidArgument, operation, subject, hint: "the page size \(pageSize) is no power of two")
        }
        guard !ranges.isEmpty, ranges.allSatisfy({ !$0.isEmpty }) else {
            throw VFIOError(.invalidArgument, operation, subject, hint: "there is nothing to log")
        }
        for range in ranges where (range.lowerBound.rawValue | range.upperBound.rawValue) & (pageSize - 1) != 0 {
            throw VFIOError(
                .misaligned, operation, subject, hint: "\(range) does not begin and end at multiples of \(pageSize)")
        }
        let sorted = ranges.sorted { $0.lowerBound < $1.lowerBound }
        for (one, next) in zip(sorted, sorted.dropFirst()) where one.overlaps(next) {
            throw VFIOError(.invalidArgument, operation, subject, hint: "\(one) and \(next) overlap")
        }
    }

    /// Returns and clears the pages of a range that the device has written since the last call, in order.
    /// The corresponding request is `VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT`.
    ///
    /// A long range is read in parts. After a kernel error some pages may be cleared without having been returned:
    /// treat the whole range as written.
    ///
    /// - Parameters:
    ///   - range: Within the logged ranges, at multiples of the page size.
    ///   - pageSize: The page size of the result in bytes: a power of two from 4096; ``pageSize`` by default.
    /// - Returns: The first address of each page.
    /// - Throws: `.misaligned`, `.outOfRange` outside of the logged ranges, `.invalidArgument` for an invalid page size
    ///   or an empty range.
    public func takeDirtyPages(in range: Range<IOVA>, pageSize: UInt64? = nil) throws(VFIOError) -> [IOVA] {
        let words = "read the log of DMA"
        let operation = ABI.Call.readDMALog.operation(words)
        let subject = "\(range) of \(core.address)"
        let size = pageSize ?? max(self.pageSize, 4096)
        guard size >= 4096, size.nonzeroBitCount == 1, !range.isEmpty else {
            throw VFIOError(
                .invalidArgument, operation, subject,
                hint: range.isEmpty ? "the range is empty" : "the page size \(size) is no power of two from 4096")
        }
        let (start, end) = (range.lowerBound.rawValue, range.upperBound.rawValue)
        guard (start | end) & (size - 1) == 0 else {
            throw VFIOError(
                .misaligned, operation, subject, hint: "it does not begin and end at multiples of \(size)")
        }
        guard ranges.contains(where: { $0.lowerBound <= range.lowerBound && range.upperBound <= $0.upperBound }) else {
            throw VFIOError(.outOfRange, operation, subject, hint: "these ranges are logged: \(ranges)")
        }
        var pages: [IOVA] = []
        // In parts, to limit the size of the bitmap.
        let most = size.multipliedReportingOverflow(by: Self.pagesAtATime)
        var position = start
        while position < end {
            let length = most.overflow ? end - position : min(most.partialValue, end - position)
            let bitmap = try ABI.readDMALog(position, byteCount: length, pageSize: size).perform(
                on: core, words, subject, lacking: "the driver logs no DMA")
            for (index, word) in bitmap.enumerated() {
                var rest = word
                while rest != 0 {
                    pages.append(IOVA(position + UInt64(index * 64 + rest.trailingZeroBitCount) * size))
                    rest &= rest - 1
                }
            }
            position += length
        }
        return pages
    }

    private static let pagesAtATime: UInt64 = 1 << 18

    /// Stops the log and throws the kernel's error.
    /// The corresponding request is `VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP`.
    public consuming func close() throws(VFIOError) {
        isOpen = false
        try ABI.stopDMALog().perform(on: core, "stop the log of DMA", "\(core.address)")
    }

    deinit {
        if isOpen { try? ABI.stopDMALog().perform(on: core) }
    }
}

extension Device {
    /// Starts a log of the pages that the device writes by DMA. A device keeps one at a time.
    /// The corresponding request is `VFIO_DEVICE_FEATURE_DMA_LOGGING_START`.
    ///
    /// - Parameters:
    ///   - ranges: The ranges to log, at multiples of the page size, without overlap.
    ///   - pageSize: The preferred page size in bytes, a power of two; see ``DMALog/pageSize`` for the actual one.
    /// - Throws: `.unsupported` if the driver has no DMA logging, `.misaligned`, `.invalidArgument` for ranges that are
    ///   empty or overlap, `.limit` for too many of them.
    public func startDMALog(of ranges: [Range<IOVA>], pageSize: UInt64 = 4096) throws(VFIOError) -> DMALog {
        try DMALog(core, ranges, pageSize: pageSize)
    }
}
