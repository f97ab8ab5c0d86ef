/// The physical addresses of memory, assigned on first use: devices without an IOMMU use them.
///
/// Ordinary pages are contiguous in runs of four, and no two runs are adjacent, so a driver that assumes a contiguous
/// buffer fails. A huge page is one run.
struct PhysicalMemory {
    /// Contiguous pages.
    private struct Run {
        let key: Key
        let first: UInt64
        let byteCount: UInt64
        /// The memory; `nil` for the process's own, which its address identifies.
        weak let object: MemoryObject?
    }

    private struct Key: Hashable {
        /// `nil` for memory that was not mapped through the seam.
        let object: ObjectIdentifier?
        let index: UInt64
    }

    /// In the order of their addresses.
    private var runs: [Run] = []
    private var positions: [Key: Int] = [:]
    private var next: UInt64 = 0x1000_0000

    /// The physical address of a byte, and the number of contiguous bytes from there.
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
        // The identity may be that of a deallocated object.
        if let known = positions[key], runs[known].object === object {
            return (runs[known].first + inside, size - inside)
        }
        next = (next + size - 1) & ~(size - 1)
        positions[key] = runs.count
        runs.append(Run(key: key, first: next, byteCount: size, object: object))
        defer { next += size + 4096 }
        return (next + inside, size - inside)
    }

    /// The memory at a physical address and the number of contiguous bytes; `nil` where none was assigned.
    func backing(at address: UInt64) -> (backing: PinnedMemory.Backing, byteCount: UInt64)? {
        let index = runs.partitionIndex(after: { $0.first + $0.byteCount <= address })
        guard index < runs.count, runs[index].first <= address else { return nil }
        let run = runs[index]
        let position = run.key.index * run.byteCount + (address - run.first)
        let rest = run.byteCount - (address - run.first)
        guard run.key.object != nil else { return (.process(position), rest) }
        guard let object = run.object else { return nil }
        return (.object(object, Int(position)), rest)
    }
}
