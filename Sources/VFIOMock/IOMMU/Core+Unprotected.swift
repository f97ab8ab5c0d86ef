internal import CVFIO
import SystemPackage
import VFIO

/// Devices without an IOMMU: their DMA is to physical addresses, and nobody checks it.
extension Core {
    /// `IOMMU_IOAS_NOIOMMU_GET_PA`.
    func physicalAddress(_ iommufd: IOMMUFD, _ argument: Argument) throws(Errno) {
        var command = try argument.loadSized(ciommu_ioas_noiommu_get_pa(), minimum: 40)
        // Without the mode there is nothing behind the request.
        guard release.hasUnsafeNoIOMMUMode else { throw .notSupported }
        if command.flags != 0 || command.__reserved != 0 { throw .notSupported }
        if command.length == 0 { throw .invalidArgument }
        if command.iova == .max { throw .overflow }
        let ioas = try iommufd.ioas(command.ioas_id)
        guard let area = ioas.list.area(at: command.iova) else { throw .noSuchFileOrDirectory }
        if area.source.isRevoked { throw .invalidArgument }
        guard ioas.isUnprotected else { throw .notSupported }
        var answer: (address: UInt64, byteCount: UInt64)?
        while true {
            let done = answer?.byteCount ?? 0
            if done >= command.length || done > area.last - command.iova { break }
            guard let translation = ioas.translate(command.iova + done) else { break }
            let piece = physicalMemory.address(of: translation.backing, translation.offset)
            let count = min(piece.byteCount, translation.byteCount)
            guard let start = answer?.address else {
                answer = (piece.address, count)
                continue
            }
            guard piece.address == start + done else { break }
            answer = (start, done + count)
        }
        guard let answer else { throw .noSuchFileOrDirectory }
        command.out_phys = answer.address
        command.length = min(answer.byteCount, command.length)
        try argument.storeSized(command)
    }

    /// What a device without an IOMMU finds at an address: memory that is pinned for such devices. Elsewhere it would hit
    /// somebody else's, which is told as a fault.
    func physicalTranslation(_ address: UInt64) -> Translation? {
        guard let found = physicalMemory.backing(at: address) else { return nil }
        let spaces = spaces.compactMap { $0 as? IOAS }.filter(\.isUnprotected)
        guard
            let rest = spaces.lazy.flatMap(\.pinnedSegments).compactMap({ Self.rest(of: $0, from: found.backing) })
                .first
        else { return nil }
        return Translation(
            isReadable: true, isWritable: true, backing: found.backing, offset: 0,
            byteCount: min(found.byteCount, rest))
    }

    /// How many bytes of pinned memory follow a place in it; `nil` for a place elsewhere.
    private static func rest(of segment: PinnedMemory.Segment, from place: PinnedMemory.Backing) -> UInt64? {
        let start: UInt64
        let position: UInt64
        switch (segment.backing, place) {
        case (.object(let object, let offset), .object(let other, let wanted)) where object === other:
            (start, position) = (UInt64(offset), UInt64(wanted))
        case (.process(let address), .process(let wanted)): (start, position) = (address, wanted)
        default: return nil
        }
        guard position >= start, position - start < segment.byteCount else { return nil }
        return segment.byteCount - (position - start)
    }
}
