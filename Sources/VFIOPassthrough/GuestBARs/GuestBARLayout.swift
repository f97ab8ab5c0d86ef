public import VFIO

/// The parts of a BAR that a guest can access without an exit.
enum GuestBARLayout {
    /// Returns the whole pages of a BAR that can be mapped and need no trapping, in order.
    ///
    /// - Parameters:
    ///   - mappable: In bytes from the start of the BAR.
    ///   - trapped: The parts to be trapped, with every page that they overlap.
    ///   - pageSize: A power of two.
    static func pieces(
        mappable: [Range<UInt64>], trapped: [Range<UInt64>], pageSize: UInt64
    ) -> [Range<UInt64>] {
        var holes: [Range<UInt64>] = []
        for range in trapped where !range.isEmpty {
            let start = range.lowerBound & ~(pageSize - 1)
            holes.append(start..<(range.upperBound.roundedUp(to: pageSize) ?? .max))
        }
        holes.sort { $0.lowerBound < $1.lowerBound }
        var pieces: [Range<UInt64>] = []
        // Areas that the driver reports separately are mapped separately, even if they are adjacent.
        for area in mappable.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            guard var start = max(area.lowerBound, pieces.last?.upperBound ?? 0).roundedUp(to: pageSize) else {
                continue
            }
            let end = area.upperBound & ~(pageSize - 1)
            for hole in holes where hole.lowerBound < end && start < hole.upperBound {
                if start < hole.lowerBound { pieces.append(start..<hole.lowerBound) }
                start = hole.upperBound
            }
            if start < end { pieces.append(start..<end) }
        }
        return pieces
    }
}

extension Device {
    /// Returns the parts of a BAR that can be memory of a guest, in bytes from the start of the BAR: whole pages that
    /// can be mapped, without those of the MSI-X table.
    ///
    /// Each uses one memory slot of the machine. The monitor emulates the rest: the guest's accesses to it are MMIO
    /// exits. The rest includes the MSI-X table even if the kernel permits mapping it, since the host owns its entries.
    ///
    /// - Parameters:
    ///   - index: A BAR.
    ///   - trapped: Other parts to be trapped, in bytes from the start of the BAR, with every page that they overlap.
    /// - Throws: `.notFound` without such a BAR; `.unsupported` if none of it can be mapped, as for one that is smaller
    ///   than a page.
    public func guestPieces(
        of index: RegionIndex, trapping trapped: [Range<UInt64>] = []
    ) throws(VFIOError) -> [Range<UInt64>] {
        try guestPieces(of: index, trapping: trapped, operation: "find what a guest can reach").pieces
    }

    func guestPieces(
        of index: RegionIndex, trapping trapped: [Range<UInt64>], operation: String
    ) throws(VFIOError) -> (region: RegionInfo, pieces: [Range<UInt64>]) {
        let subject = "\(index) of \(address)"
        guard index.isBAR else {
            throw VFIOError(.notFound, operation, subject, hint: "only a BAR has a place among the guest's addresses")
        }
        let region = try core.existingRegion(index, for: operation)
        let pageSize = UInt64(core.kernel.pageSize)
        guard region.byteCount >= pageSize else {
            throw VFIOError(
                .unsupported, operation, subject,
                hint: "it has \(region.byteCount) bytes, and a slot takes whole pages; the guest's accesses are to be "
                    + "emulated")
        }
        var trapped = trapped
        if core.info.isPCI, let msix = try config.msix(), msix.table.bar == Int(index.rawValue) {
            trapped.append(msix.tableRange)
        }
        let pieces = GuestBARLayout.pieces(mappable: region.mappableAreas, trapped: trapped, pageSize: pageSize)
        guard !pieces.isEmpty else {
            throw VFIOError(
                .unsupported, operation, subject,
                hint: "no page of it can be mapped; the guest's accesses are to be emulated")
        }
        return (region, pieces)
    }
}
