import SystemPackage

/// What an iommufd mapping was made from, shared by the copies of the mapping.
final class PageSource: DMABufImporter {
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
    private(set) var isRevoked = false
    private(set) var pinned = PinnedMemory()
    private let memory: ProcessMappings
    private var pinCount = 0
    /// Mappings that use it.
    private var areaCount = 0

    init(_ kind: Kind, byteCount: UInt64, isWritable: Bool, _ memory: ProcessMappings) {
        self.kind = kind
        self.byteCount = byteCount
        self.isWritable = isWritable
        self.memory = memory
    }

    /// Where the kernel would look for an aligned IOVA.
    var alignmentHint: UInt64 {
        switch kind {
        case .process(let address): address
        case .file(_, let offset): UInt64(offset)
        case .dmaBuf(_, _, let offset): offset
        }
    }

    func importWasRevoked() { isRevoked = true }

    /// Pins the pages for one more mapping that a device can use.
    func pin() throws(Errno) {
        if pinCount == 0 {
            var pages = PinnedMemory()
            switch kind {
            case .process(let address):
                pages = try memory.pin(address, byteCount, writable: isWritable, allowsBARs: false)
            case .file(let object, let offset):
                guard let object else { throw .invalidArgument }
                pages.append(.object(object, offset), byteCount)
            case .dmaBuf(let buffer, _, let offset):
                if let exporter = buffer.exporter, let range = buffer.ranges.first {
                    pages.append(.bar(exporter, range.bar, range.offset + offset), byteCount)
                }
            }
            try memory.lock(pages.accountedByteCount)
            pinned = pages
        }
        pinCount += 1
    }

    /// Counts one more mapping of pages that are pinned.
    func pinAgain() { pinCount += 1 }

    func unpin() {
        pinCount -= 1
        guard pinCount == 0 else { return }
        memory.unlock(pinned.accountedByteCount)
        pinned = PinnedMemory()
    }

    /// One mapping more; with the first one a dma-buf is imported.
    func addArea() {
        areaCount += 1
        guard areaCount == 1, case .dmaBuf(let buffer, let file, _) = kind else { return }
        buffer.addImporter(self)
        file.hold()
    }

    /// One mapping fewer; with the last one the dma-buf is let go.
    func removeArea() {
        areaCount -= 1
        guard areaCount == 0, case .dmaBuf(let buffer, let file, _) = kind else { return }
        buffer.removeImporter(self)
        file.release()
    }
}
