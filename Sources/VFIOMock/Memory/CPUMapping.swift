/// A mapping of the process that was made through the seam, or the part of it that is left.
@safe final class CPUMapping {
    enum Source {
        /// Anonymous memory, from an offset in bytes.
        case memory(MemoryObject, Int)
        /// A BAR of an open device, from an offset in bytes.
        case bar(any BusTarget, Int, Int)
    }

    let address: UInt64
    let byteCount: UInt64
    let source: Source
    let protection: Int32
    /// The open file that the mapping references: a device closes only once it is unmapped.
    let file: OpenFile?
    /// Whether an access is SIGBUS because memory decode is off.
    var isZapped = false

    init(address: UInt64, byteCount: UInt64, source: Source, protection: Int32, file: OpenFile?) {
        self.address = address
        self.byteCount = byteCount
        self.source = source
        self.protection = protection
        self.file = file
    }

    var end: UInt64 { address + byteCount }

    /// The part inside a range, as a mapping of its own.
    func part(_ range: Range<UInt64>) -> CPUMapping? {
        let start = max(address, range.lowerBound)
        let stop = min(end, range.upperBound)
        guard start < stop else { return nil }
        let shift = Int(start - address)
        let source: Source =
            switch self.source {
            case .memory(let object, let offset): .memory(object, offset + shift)
            case .bar(let target, let bar, let offset): .bar(target, bar, offset + shift)
            }
        let part = CPUMapping(
            address: start, byteCount: stop - start, source: source, protection: protection, file: file)
        part.isZapped = isZapped
        return part
    }
}
