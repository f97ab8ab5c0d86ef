/// The library's allocator of IO virtual addresses under a mixed load, as the C tree is put under.
///
/// The allocator is not public. Its files are here as symbolic links, so what is measured is what the library has.
public struct AllocatorWorkload: ~Copyable {
    // As in C, where no range rests, so that both take the same addresses.
    private var allocator = IOVAAllocator(allowed: [4096...(1 << 48) - 1], restingLimit: 0)
    private var live: [UInt64]
    private var random: UInt64 = 0x9e37_79b9_7f4a_7c15

    /// - Parameter count: How many ranges are taken all the time.
    public init(count: Int) {
        live = []
        live.reserveCapacity(count)
        for _ in 0..<count { live.append(allocate()) }
        // What was filled in order gets holes of all sizes.
        exchange(2 * count)
    }

    /// Gives a random range back and takes another one of random length, `count` times. Gives a sum of the addresses.
    @inline(never)
    @discardableResult
    public mutating func exchange(_ count: Int) -> UInt64 {
        var sum: UInt64 = 0
        for _ in 0..<count {
            let index = Int(truncatingIfNeeded: next() % UInt64(live.count))
            allocator.release(live[index])
            let address = allocate()
            live[index] = address
            sum &+= address
        }
        return sum
    }

    /// 1 to 16 pages.
    private mutating func allocate() -> UInt64 {
        let byteCount = (((next() >> 33) & 15) + 1) << 12
        guard let address = allocator.allocate(byteCount: byteCount, alignment: 4096, highest: .max) else {
            fatalError("48 bits of addresses are used up")
        }
        return address
    }

    /// Marsaglia's xorshift.
    private mutating func next() -> UInt64 {
        random ^= random << 13
        random ^= random >> 7
        random ^= random << 17
        return random
    }
}
