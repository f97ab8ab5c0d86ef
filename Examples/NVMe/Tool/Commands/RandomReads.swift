import NVMe
import ToolSupport
import VFIO

/// Random reads of a disk, with as many in flight as the queue allows.
struct RandomReads {
    private let namespace: Namespace
    private let blockCount: Int
    private let address: IOVA
    /// The number of possible positions, at multiples of the read size.
    private let placeCount: UInt64
    private var random: UInt64 = 0x9e37_79b9_7f4a_7c15
    private(set) var completed = 0
    private(set) var failed = 0

    /// - Parameter address: The destination of all reads, with space for one.
    init(_ namespace: Namespace, byteCount: Int, into address: IOVA) {
        self.namespace = namespace
        self.address = address
        blockCount = byteCount / namespace.blockSize
        placeCount = namespace.blockCount / UInt64(blockCount)
    }

    mutating func reset() { (completed, failed) = (0, 0) }

    /// Reads until the number or the time limit is reached, or the host wants the device back.
    mutating func run(
        _ queue: inout QueuePair, sleeping: Bool, upTo limit: Int, for time: Duration, _ host: inout HostCheck
    ) throws {
        let deadline = ContinuousClock.now + time
        var (submitted, idle, turns, ended) = (0, 0, 0, false)
        while true {
            let before = completed
            while let completion = queue.nextCompletion() { note(completion) }
            while !ended, submitted < limit, submit(to: &queue) { submitted += 1 }
            queue.ring()
            if queue.inFlightCount == 0 { return }
            if completed == before {
                if sleeping {
                    note(try queue.waitForCompletion())
                    try host.look()
                } else {
                    idle &+= 1
                    if idle & 0xffff == 0 { try queue.check() }
                }
            }
            // With polling, read the clock only periodically, because it takes a significant part of a read's time.
            turns &+= 1
            try host.check()
            if sleeping || turns & 0xff == 0, ContinuousClock.now >= deadline { ended = true }
        }
    }

    @inline(__always)
    private mutating func submit(to queue: inout QueuePair) -> Bool {
        // xorshift64.
        random ^= random << 13
        random ^= random >> 7
        random ^= random << 17
        let block = random.multipliedFullWidth(by: placeCount).high &* UInt64(blockCount)
        let command = unsafe queue.submitRead(
            of: namespace, at: block, count: blockCount, into: address, ringing: false)
        return command != nil
    }

    @inline(__always)
    private mutating func note(_ completion: Completion) {
        completed += 1
        if !completion.status.isSuccess { failed += 1 }
    }
}
