import SystemPackage
import VFIO
import VFIOPassthrough

final class SystemIOMMU {
    let configuration: MockIOMMU
    let release: MockRelease
    let core: Core
    let memory: ProcessMappings
    private var physicalMemory = PhysicalMemory()
    private var spaces: [ObjectIdentifier: any MappingSpace] = [:]
    var faults: [IOMMUFault] = []
    var invalidations: [IOMMUInvalidation] = []
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

    /// The bytes of pinned memory; pages pinned by two spaces count twice.
    var pinnedByteCount: UInt64 { spaces.values.reduce(0) { $0 + $1.pinnedByteCount } }

    func nextPageRequest() -> Int {
        pageRequestCount += 1
        return pageRequestCount
    }

    // MARK: Devices without an IOMMU

    /// The physical address of a translation, and the number of contiguous bytes.
    func physicalAddress(of translation: Translation) -> (address: UInt64, byteCount: UInt64) {
        let piece = physicalMemory.address(of: translation.backing, translation.offset)
        return (piece.address, min(piece.byteCount, translation.byteCount))
    }

    /// The memory at a physical address, if it is pinned for devices without an IOMMU. Elsewhere DMA would hit memory
    /// in other use, and is recorded as a fault.
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
    /// The bytes of the segment from a place in it; `nil` for a place elsewhere.
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
