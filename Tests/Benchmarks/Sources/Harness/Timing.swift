internal import CBaseline

/// Measures rows side by side.
///
/// A round is one short batch of the library's loop and one of the C loop, the one first in even rounds, the other in odd
/// ones. Batches are short, so that many of them see no interruption, and the fastest of each side are compared.
struct Timing {
    /// What a batch takes at least, in nanoseconds; a batch has one operation at least.
    var batch: UInt64 = 50_000
    /// What all rounds of a row take at most, in nanoseconds.
    var total: UInt64 = 1_500_000_000
    var mostRounds = 2000
    var leastRounds = 15

    /// Prints a line for each round: `time`, the row's name, the operations of a batch, and what both batches took.
    func measure(_ row: Row) {
        let count = operations(of: row)
        let end = bench_now() + total
        var round = 0
        while round < leastRounds || (round < mostRounds && bench_now() < end) {
            var library: UInt64 = 0
            var baseline: UInt64 = 0
            if round.isMultiple(of: 2) {
                library = Self.time(row.library, count)
                baseline = Self.time(row.baseline, count)
            } else {
                baseline = Self.time(row.baseline, count)
                library = Self.time(row.library, count)
            }
            print("time\t\(row.name)\t\(count)\t\(library)\t\(baseline)")
            round += 1
        }
    }

    /// How many operations make a batch that is long enough.
    private func operations(of row: Row) -> Int {
        // To get warm, and whatever is set up at the first call.
        row.library(1)
        row.baseline(1)
        var count = 1
        while true {
            // The least of three, or else an interruption would pass for work.
            let taken = (0..<3).map { _ in
                row.library(count)
                return Self.time(row.baseline, count)
            }
            if taken.min()! >= batch || count > 1 << 30 { return count }
            count *= 2
        }
    }

    private static func time(_ body: (Int) -> Void, _ count: Int) -> UInt64 {
        let start = bench_now()
        body(count)
        return bench_now() - start
    }
}
