import CBaseline
import NVMe
import VFIO

/// Random reads of the lab's disk with the NVMe driver, polling; `guest/disks` compares them with the kernel's driver.
enum DiskBenchmark {
    /// Prints how many reads a second there are: the words are the bytes of a read, how many are in flight, and seconds.
    static func run(_ words: [String]) throws {
        let numbers = words.compactMap { Int($0) }
        guard numbers.count == 3 else { throw BaselineFailure() }
        let (size, depth) = (numbers[0], numbers[1])
        let space = try AddressSpace()
        let controller = try Controller(try Device(at: "0000:00:04.0", in: space))
        let namespace = try controller.namespace(1)
        var queue = try controller.makeQueue(depth: depth, maximumTransferByteCount: size)
        let buffer = try space.allocate(byteCount: size)
        _ = try read(&queue, namespace, into: buffer.iova, size, until: bench_now() + 200_000_000)
        let start = bench_now()
        let count = try read(
            &queue, namespace, into: buffer.iova, size, until: start + UInt64(numbers[2]) * 1_000_000_000)
        let nanoseconds = bench_now() - start
        print(Int(Double(count) * 1e9 / Double(nanoseconds)))
        try queue.close()
        try buffer.close()
        try controller.close()
    }

    private static func read(
        _ queue: inout QueuePair, _ namespace: Namespace, into address: IOVA, _ size: Int, until end: UInt64
    ) throws -> Int {
        let blocks = size / namespace.blockSize
        let places = namespace.blockCount / UInt64(blocks)
        var random: UInt64 = 0x9e37_79b9_7f4a_7c15
        var completed = 0
        var isOver = false
        while !isOver || queue.inFlightCount > 0 {
            while let completion = queue.nextCompletion() {
                guard completion.status.isSuccess else { throw BaselineFailure() }
                completed += 1
                if completed & 63 == 0 { isOver = bench_now() >= end }
            }
            while !isOver,
                queue.submitRead(
                    of: namespace, at: random % places * UInt64(blocks), count: blocks, into: address, ringing: false)
                    != nil
            {
                random ^= random << 13
                random ^= random >> 7
                random ^= random << 17
            }
            queue.ring()
        }
        return completed
    }
}
