import SystemPackage

/// The source of an iommufd mapping, shared by the copies of the mapping.
final class PageSource: DMABufImporter {
    enum Kind {
        /// Memory of the process, at an address.
        case process(UInt64)
        /// A file in memory, from an offset in bytes; `nil` for a file of another type, which cannot be pinned.
        case file(MemoryObject?, Int)
        /// A dma-buf, from an offset in bytes. Mappings hold the open file.
        case dmaBuf(DMABuf, OpenFile, UInt64)
    }

    let kind: Kind
    let byteCount: UInt64
    /// Whether the mapping and its copies may be writable.
    let isWritable: Bool
    /// Whether the dma-buf was revoked, which is permanent for this source.
    private(set) var isRevoked = false
    private(set) var pinned = PinnedMemory()
    private let memory: ProcessMappings
    private var pinCount = 0
    private var areaCount = 0

    init(_ kind: Kind, byteCount: UInt64, isWritable: Bool, _ memory: ProcessMappings) {
        self.kind = kind
        self.byteCount = byteCount
        self.isWritable = isWritable
        self.memory = memory
    }

    /// The address or offset that the kernel aligns a free IOVA to.
    var alignmentHint: UInt64 {
        switch kind {
        case .process(let address): address
        case .file(_, let offset): UInt64(offset)
        case .dmaBuf(_, _, let offset): offset
        }
    }

    func importWasRevoked() { isRevoked = true }

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

    /// Counts another mapping of pinned pages.
    func pinAgain() { pinCount += 1 }

    func unpin() {
        pinCount -= 1
        guard pinCount == 0 else { return }
        memory.unlock(pinned.accountedByteCount)
        pinned = PinnedMemory()
    }

    /// Adds a mapping; the first one imports a dma-buf.
    func addArea() {
        areaCount += 1
        guard areaCount == 1, case .dmaBuf(let buffer, let file, _) = kind else { return }
        buffer.addImporter(self)
        file.hold()
    }

    /// Removes a mapping; the last one drops the dma-buf.
    func removeArea() {
        areaCount -= 1
        guard areaCount == 0, case .dmaBuf(let buffer, let file, _) = kind else { return }
        buffer.removeImporter(self)
        file.release()
    }
}
