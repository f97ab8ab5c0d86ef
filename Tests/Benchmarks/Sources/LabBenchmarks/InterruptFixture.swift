import CBaseline
import SystemPackage
import VFIO

/// An interrupt of edu that is on, and the ways to wait for it. Each way gives the nanoseconds from raising it until it is
/// there, and lowers it.
final class InterruptFixture {
    let bar: MappedRegion
    private let vector: InterruptVector
    private let event: Int32
    private var iterator: InterruptEvents.AsyncIterator

    init(bar: consuming MappedRegion, vector: consuming InterruptVector) {
        self.bar = bar
        event = vector.withEvent { $0.rawValue }
        iterator = vector.events.makeAsyncIterator()
        self.vector = vector
    }

    func poll() throws -> UInt64 {
        let start = raise()
        while try vector.poll() == nil {}
        return lower(since: start)
    }

    func baselinePoll() -> UInt64 {
        let start = raise()
        _ = baseline_spin_event(event)
        return lower(since: start)
    }

    func wait() throws -> UInt64 {
        baseline_ask_raiser()
        try vector.wait()
        return lower(since: baseline_raised())
    }

    func baselineWait() -> UInt64 {
        baseline_set_blocking(event, true)
        baseline_ask_raiser()
        _ = baseline_read_event(event)
        let taken = lower(since: baseline_raised())
        baseline_set_blocking(event, false)
        return taken
    }

    func next() async throws -> UInt64 {
        baseline_ask_raiser()
        _ = try await iterator.next()
        return lower(since: baseline_raised())
    }

    private func raise() -> UInt64 {
        let now = bench_now()
        bar.write32(1, at: 0x60)
        return now
    }

    private func lower(since start: UInt64) -> UInt64 {
        let taken = bench_now() - start
        bar.write32(1, at: 0x64)
        return taken
    }
}
