import SystemPackage

/// What an iommufd mapping was made from, shared by the copies of the mapping.
final class PageSource {
    enum Kind {
        /// Memory of the process, at an address.
        case process(UInt64)
        /// A file in memory, from an offset in bytes; `nil` for a file of another kind, which fails when it is pinned.
        case file(MemoryObject?, Int)
        /// A dma-buf, from an offset in bytes. The open file is kept as long as the mapping is.
        case dmaBuf(DMABuf, OpenFile, UInt64)
    }

    let kind: Kind
    let byteCount: UInt64
    /// The mapping may be writable; so may its copies be.
    let isWritable: Bool
    /// The dma-buf has been revoked since: for this source it is over.
    var isRevoked = false
    private(set) var pinned = PinnedMemory()
    private var pinCount = 0
    /// Mappings that use it.
    var areaCount = 0

    init(_ kind: Kind, byteCount: UInt64, isWritable: Bool) {
        self.kind = kind
        self.byteCount = byteCount
        self.isWritable = isWritable
    }

    /// Where the kernel would look for an aligned IOVA.
    var alignmentHint: UInt64 {
        switch kind {
        case .process(let address): address
        case .file(_, let offset): UInt64(offset)
        case .dmaBuf(_, _, let offset): offset
        }
    }

    /// Pins the pages for one more mapping that a device can use.
    func pin(_ core: Core) throws(Errno) {
        if pinCount == 0 {
            switch kind {
            case .process(let address):
                let pages = try core.pin(address, byteCount, writable: isWritable, allowsBARs: false)
                // Before they are pinned, or a mapping that is in the list already would count twice.
                try core.checkLockLimit(adding: byteCount)
                pinned = pages
            case .file(let object, let offset):
                guard let object else { throw .invalidArgument }
                try core.checkLockLimit(adding: byteCount)
                pinned.append(.object(object, offset), byteCount)
            case .dmaBuf(let buffer, _, let offset):
                if let exporter = buffer.exporter, let range = buffer.ranges.first {
                    pinned.append(.bar(exporter, range.bar, range.offset + offset), byteCount)
                }
            }
        }
        pinCount += 1
    }

    /// Counts one more mapping of pages that are pinned.
    func pinAgain() { pinCount += 1 }

    func unpin() {
        pinCount -= 1
        if pinCount == 0 { pinned = PinnedMemory() }
    }

    /// One mapping fewer; with the last one the dma-buf is let go.
    func release(_ core: Core) {
        areaCount -= 1
        guard areaCount == 0 else { return }
        if case .dmaBuf(let buffer, let file, _) = kind {
            buffer.removeImporter(self)
            core.unhold(file)
        }
    }
}
