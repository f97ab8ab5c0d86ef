import AllocatorUnderTest
import CBaseline
import Harness

/// An allocator of IO virtual addresses with many ranges taken, and its counterpart in C. Both get the same requests, and have
/// to give the same addresses.
final class AllocatorFixture {
    private let count: Int
    // Filled when they are first asked for: a million ranges take a moment.
    private lazy var library = AllocatorBox(count)
    private lazy var baseline = baseline_make_allocator(Int64(count))
    private var librarySum: UInt64 = 0
    private var baselineSum: UInt64 = 0
    private var ahead = 0

    init(count: Int) { self.count = count }

    func row(_ name: String) -> Row {
        // Counted for one size: callgrind takes its time.
        Row("iova-\(name)", "release and allocate addresses, \(name) ranges taken", isCounted: count == 10_000) {
            [self] in
            librarySum &+= library.exchange($0)
            ahead += $0
            compare()
        } baseline: { [self] in
            baselineSum &+= baseline_exchange(baseline, Int64($0))
            ahead -= $0
            compare()
        }
    }

    private func compare() {
        guard ahead != 0 || librarySum == baselineSum else { fatalError("the two allocators differ") }
    }
}

/// Keeps the workload where a `lazy var` may have it.
private final class AllocatorBox {
    private var workload: AllocatorWorkload

    init(_ count: Int) { workload = AllocatorWorkload(count: count) }

    func exchange(_ count: Int) -> UInt64 { workload.exchange(count) }
}
