/// Which page of memory is where in the machine, as far as anybody has asked: devices without an IOMMU work with that.
///
/// Ordinary pages lie together in fours, and no two fours lie together, so that who takes a buffer for one piece is found
/// out. A huge page is one piece.
struct PhysicalMemory {
    /// Pages that lie together.
    private struct Run {
        let key: Key
        let first: UInt64
        let byteCount: UInt64
        /// The memory; nothing for the process's own, which is found by its address.
        weak let object: MemoryObject?
    }

    private struct Key: Hashable {
        /// `nil` for memory of the process that did not come through the seam.
        let object: ObjectIdentifier?
        let index: UInt64
    }

    /// In the order of their addresses.
    private var runs: [Run] = []
    private var positions: [Key: Int] = [:]
    private var next: UInt64 = 0x1000_0000

    /// Where a byte of memory is, and how many bytes follow it there.
    mutating func address(of backing: PinnedMemory.Backing, _ offset: UInt64) -> (address: UInt64, byteCount: UInt64) {
        switch backing {
        case .object(let object, let start): place(object, UInt64(start) + offset)
        case .process(let address): place(nil, address + offset)
        case .bar(let target, let bar, let start):
            (
                (target.barAddresses[bar] ?? 0) + start + offset,
                target.barSize(bar) - min(start + offset, target.barSize(bar))
            )
        }
    }

    private mutating func place(_ object: MemoryObject?, _ position: UInt64) -> (address: UInt64, byteCount: UInt64) {
        let size = UInt64(object?.hugePageSize ?? 4 * 4096)
        let key = Key(object: object.map(ObjectIdentifier.init), index: position / size)
        let inside = position % size
        // An object that is gone may have left its identity to another one.
        if let known = positions[key], runs[known].object === object {
            return (runs[known].first + inside, size - inside)
        }
        next = (next + size - 1) & ~(size - 1)
        positions[key] = runs.count
        runs.append(Run(key: key, first: next, byteCount: size, object: object))
        defer { next += size + 4096 }
        return (next + inside, size - inside)
    }

    /// What memory is at an address, and how far it goes there; `nil` where nobody has asked about.
    func backing(at address: UInt64) -> (backing: PinnedMemory.Backing, byteCount: UInt64)? {
        var low = 0
        var high = runs.count
        while low < high {
            let middle = (low + high) / 2
            if runs[middle].first + runs[middle].byteCount <= address { low = middle + 1 } else { high = middle }
        }
        guard low < runs.count, runs[low].first <= address else { return nil }
        let run = runs[low]
        let position = run.key.index * run.byteCount + (address - run.first)
        let rest = run.byteCount - (address - run.first)
        guard run.key.object != nil else { return (.process(position), rest) }
        guard let object = run.object else { return nil }
        return (.object(object, Int(position)), rest)
    }
}
