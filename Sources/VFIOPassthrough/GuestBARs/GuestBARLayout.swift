public import VFIO

/// Which parts of a BAR a guest can reach without an exit, and which it cannot.
enum GuestBARLayout {
    /// The whole pages of a BAR that can be mapped and that nobody has to look at, in order.
    ///
    /// - Parameters:
    ///   - mappable: In bytes from the start of the BAR.
    ///   - trapped: What is to be kept from the guest; every page of it is.
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
        // Areas that the driver gives apart are mapped apart, also where they touch.
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
    /// The parts of a BAR that a guest can be given as memory, in bytes from the start of the BAR: whole pages that can be
    /// mapped, without those of the MSI-X table.
    ///
    /// Each takes one memory slot of the machine. What is left is for the monitor to emulate: the guest's accesses to it are
    /// MMIO exits. The MSI-X table is among that even where the kernel lets it be mapped, since its entries are the host's.
    ///
    /// - Parameters:
    ///   - index: A BAR.
    ///   - trapped: What else is to be kept from the guest, in bytes from the start of the BAR; every page of it is.
    /// - Throws: `.notFound` without such a BAR; `.unsupported` when nothing of it can be mapped, as of one that is smaller
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
