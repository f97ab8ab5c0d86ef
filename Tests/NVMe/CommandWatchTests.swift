@testable import NVMe

@Suite struct CommandWatchTests {
    private let start = ContinuousClock.now
    private func time(_ milliseconds: Int) -> ContinuousClock.Instant { start + .milliseconds(milliseconds) }

    /// What the watch says to looks at these times, with these submissions in flight.
    private func looks(_ looks: [(oldest: UInt64?, count: UInt64, time: Int)]) -> [Bool] {
        var watch = CommandWatch(limit: .milliseconds(100))
        return looks.map { look in
            let now = time(look.time)
            return watch.isDue(now: now) && watch.isLate(oldest: look.oldest, count: look.count, now: now)
        }
    }

    @Test func aCommandIsLateAfterOneToTwoLimits() {
        #expect(looks([(5, 7, 0), (5, 9, 99), (5, 9, 100)]) == [false, false, true])
        // Submitted after the mark.
        #expect(looks([(5, 7, 0), (8, 9, 100), (8, 9, 199), (8, 9, 200)]) == [false, false, false, true])
    }

    @Test func nothingInFlightIsNeverLate() {
        #expect(looks([(nil, 7, 0), (nil, 7, 1000), (8, 8, 10000)]) == [false, false, false])
    }

    @Test func theRegisterIsLookedAtNowAndThen() {
        var watch = CommandWatch(limit: .milliseconds(800))
        let looks = [0, 99, 100, 101].map { watch.isTimeToLook(now: time($0)) }
        #expect(looks == [true, false, true, false])
    }
}
