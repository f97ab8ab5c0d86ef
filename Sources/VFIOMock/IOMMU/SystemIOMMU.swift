import SystemPackage
import VFIO
import VFIOPassthrough

/// The machine's IOMMU, and what has happened at it.
final class SystemIOMMU {
    let configuration: MockIOMMU
    let release: MockRelease
    let core: Core
    let memory: ProcessMappings
    private var physicalMemory = PhysicalMemory()
    private var spaces: [ObjectIdentifier: any MappingSpace] = [:]
    var faults: [IOMMUFault] = []
    /// What the hardware was told to forget of guests' page tables, in order.
    var invalidations: [IOMMUInvalidation] = []
    /// What devices were told of the pages that they have asked for, by the number of the page request.
    var pageResponses: [Int: FaultQueue.Response] = [:]
    private var pageRequestCount = 0

    init(_ configuration: MockIOMMU, _ release: MockRelease, _ memory: ProcessMappings, _ core: Core) {
        self.configuration = configuration
        self.release = release
        self.memory = memory
        self.core = core
        memory.pinnedSegments = { [unowned self] in spaces.values.flatMap(\.pinnedSegments) }
    }

    func add(_ space: any MappingSpace) { spaces[ObjectIdentifier(space)] = space }

    func remove(_ space: any MappingSpace) { spaces[ObjectIdentifier(space)] = nil }

    /// Bytes of memory that are pinned: what two spaces have pinned counts twice.
    var pinnedByteCount: UInt64 { spaces.values.reduce(0) { $0 + $1.pinnedByteCount } }

    func nextPageRequest() -> Int {
        pageRequestCount += 1
        return pageRequestCount
    }

    // MARK: Devices without an IOMMU

    /// Where memory is in the machine, and how far it goes there.
    func physicalAddress(of translation: Translation) -> (address: UInt64, byteCount: UInt64) {
        let piece = physicalMemory.address(of: translation.backing, translation.offset)
        return (piece.address, min(piece.byteCount, translation.byteCount))
    }

    /// What a device without an IOMMU finds at an address: memory that is pinned for such devices. Elsewhere it would hit
    /// memory in other use, which is recorded as a fault.
    func physicalTranslation(_ address: UInt64) -> Translation? {
        guard let found = physicalMemory.backing(at: address) else { return nil }
        for case let ioas as IOAS in spaces.values where ioas.isNoIOMMU {
            for segment in ioas.pinnedSegments {
                guard let rest = segment.byteCount(from: found.backing) else { continue }
                return Translation(
                    isReadable: true, isWritable: true, backing: found.backing, offset: 0,
                    byteCount: min(found.byteCount, rest))
            }
        }
        return nil
    }
}

extension PinnedMemory.Segment {
    /// How many bytes of it follow a place in it; `nil` for a place elsewhere.
    fileprivate func byteCount(from place: PinnedMemory.Backing) -> UInt64? {
        let start: UInt64
        let position: UInt64
        switch (backing, place) {
        case (.object(let object, let offset), .object(let other, let wanted)) where object === other:
            (start, position) = (UInt64(offset), UInt64(wanted))
        case (.process(let address), .process(let wanted)): (start, position) = (address, wanted)
        default: return nil
        }
        guard position >= start, position - start < byteCount else { return nil }
        return byteCount - (position - start)
    }
}
