import SystemPackage
import VFIO

/// The page table of a container: `vfio_iommu_type1`.
final class Type1IOMMU: TranslationSpace, MappingSpace {
    final class Area: IOVAArea {
        let iova: UInt64
        let byteCount: UInt64
        let isReadable: Bool
        let isWritable: Bool
        /// The memory pinned for the IOMMU; empty while there are only mediated devices, whose drivers pin for
        /// themselves.
        var pinned: PinnedMemory
        /// The process's address.
        let address: UInt64
        /// Whether the process's address was invalidated and not yet replaced (`VFIO_DMA_UNMAP_FLAG_VADDR`).
        var hasLostAddress = false

        init(
            iova: UInt64, byteCount: UInt64, address: UInt64, isReadable: Bool, isWritable: Bool, pinned: PinnedMemory
        ) {
            self.address = address
            self.iova = iova
            self.byteCount = byteCount
            self.isReadable = isReadable
            self.isWritable = isWritable
            self.pinned = pinned
        }
    }

    /// Version 2: an unmap neither splits a mapping nor extends beyond its range.
    let isVersion2: Bool
    unowned let system: SystemIOMMU
    var iommu: MockIOMMU { system.configuration }
    private(set) var list = AreaList<Area>()
    private(set) var available: Int
    private(set) var pinnedByteCount: UInt64 = 0
    var isTrackingDirtyPages = false
    /// Whether there is a group with hardware, and so a page table of the IOMMU.
    var hasDomain = false
    /// Whether there is a group of a mediated device.
    var hasEmulated = false

    init(isVersion2: Bool, _ system: SystemIOMMU) {
        self.isVersion2 = isVersion2
        self.system = system
        available = system.configuration.mappingLimit
        system.add(self)
    }

    /// The last group left the container.
    func close() {
        _ = try? unmap(0, .max, isAll: true)
        system.remove(self)
    }

    func map(_ area: Area) throws(Errno) {
        let byteCount = area.pinned.accountedByteCount
        try system.memory.lock(byteCount)
        pinnedByteCount += byteCount
        list.insert(area)
        available -= 1
    }

    /// The errno for a new mapping at a range; `nil` if it is possible.
    func refusal(_ first: UInt64, _ last: UInt64) -> Errno? {
        if list.touches(first, last) { return .fileExists }
        if available == 0 { return .noSpace }
        return !hasDomain || isUsable(first, last) ? nil : .invalidArgument
    }

    private func isUsable(_ first: UInt64, _ last: UInt64) -> Bool {
        iommu.usableRanges.contains { $0.lowerBound <= first && last <= $0.upperBound }
    }

    /// Whether the IOMMU's hardware supports all mappings.
    var fitsHardware: Bool { list.areas.allSatisfy { isUsable($0.iova, $0.last) } }

    /// Pins the mappings that were made while there were only mediated devices.
    func pinAll() throws(Errno) {
        for area in list.areas where area.pinned.segments.isEmpty {
            let pinned = try system.memory.pin(
                area.address, area.byteCount, writable: area.isWritable, allowsBARs: true)
            try system.memory.lock(pinned.accountedByteCount)
            area.pinned = pinned
            pinnedByteCount += pinned.accountedByteCount
        }
    }

    /// Removes the mappings in a range and returns their bytes; `nil` where version 2 would have to split one.
    func unmap(
        _ first: UInt64, _ last: UInt64, isAll: Bool, _ body: (Area) throws(Errno) -> Void = { (_) throws(Errno) in }
    ) throws(Errno) -> UInt64? {
        if isVersion2 && !isAll && splits(first, last) { return nil }
        var range = list.indices(touching: first, last)
        // Version 1 removes a whole mapping if its first address is in the range, and keeps it otherwise.
        if !isVersion2, let area = range.first.map({ list.areas[$0] }), area.iova < first {
            range = range.lowerBound..<range.lowerBound
        }
        var byteCount: UInt64 = 0
        for area in list.areas[range] { try body(area) }
        for area in list.areas[range] {
            byteCount &+= area.byteCount
            pinnedByteCount -= area.pinned.accountedByteCount
            system.memory.unlock(area.pinned.accountedByteCount)
        }
        available += range.count
        list.remove(range)
        return byteCount
    }

    /// Whether a range begins or ends inside a mapping.
    func splits(_ first: UInt64, _ last: UInt64) -> Bool {
        if let area = list.area(at: first), area.iova != first { return true }
        if let area = list.area(at: last), area.last != last { return true }
        return false
    }

    /// Invalidates the process's addresses of the mappings in a range and returns their bytes; `nil` when one is
    /// invalid already. The mappings stay.
    func invalidateAddresses(_ first: UInt64, _ last: UInt64) -> UInt64? {
        let areas = list.areas[list.indices(touching: first, last)]
        if areas.contains(where: \.hasLostAddress) {
            // As in the kernel, those before it become valid again.
            for area in areas.prefix(while: { !$0.hasLostAddress }) { area.hasLostAddress = false }
            return nil
        }
        for area in areas { area.hasLostAddress = true }
        return areas.reduce(0) { $0 &+ $1.byteCount }
    }

    // MARK: Translation

    /// The container does not track writes.
    func noteWrite(at iova: UInt64, _ byteCount: Int) {}

    func translate(_ iova: UInt64) -> Translation? {
        guard let area = list.area(at: iova), let segment = area.pinned.segment(at: iova - area.iova) else {
            return nil
        }
        let offset = iova - area.iova - segment.offset
        return Translation(
            isReadable: area.isReadable, isWritable: area.isWritable, backing: segment.backing, offset: offset,
            byteCount: segment.byteCount - offset)
    }

    var pinnedSegments: [PinnedMemory.Segment] { list.areas.flatMap(\.pinned.segments) }

    var mappings: [MockMapping] {
        list.areas.map {
            var target = MockMapping.Target.memory
            if case .bar(let owner, let bar, _)? = $0.pinned.segments.first?.backing {
                target = .bar(bar, of: owner.address)
            }
            return MockMapping(
                iova: .init($0.iova), byteCount: $0.byteCount, isReadable: $0.isReadable, isWritable: $0.isWritable,
                target: target)
        }
    }
}
