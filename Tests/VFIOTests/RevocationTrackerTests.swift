@testable import VFIO

@Suite struct RevocationTrackerTests {
    @Test func itBeginsLive() {
        let state = RevocationTracker().current
        #expect(state.epoch == 0)
        #expect(state.isMemoryOn)
        #expect(!state.isClosed)
    }

    /// A mapping made before the call, or while it runs, is from another epoch than one made after it.
    @Test func eachRevocationEndsAnEpochBeforeAndAfterTheCall() {
        let tracker = RevocationTracker()
        var during: UInt64 = 0
        tracker.revoking { during = tracker.current.epoch }
        #expect(during == 1)
        #expect(tracker.current.epoch == 2)
        #expect(tracker.current.isMemoryOn)
    }

    @Test func aRevocationThatFailsCountsAllTheSame() {
        let tracker = RevocationTracker()
        #expect(throws: Errno.ioError) { try tracker.revoking { () throws(Errno) in throw .ioError } }
        #expect(tracker.current.epoch == 2)
    }

    @Test func memoryGoesOffAndOnWithoutAnEpoch() {
        let tracker = RevocationTracker()
        tracker.setMemory(.off)
        #expect(!tracker.current.isMemoryOn)
        tracker.setMemory(.on)
        #expect(tracker.current.isMemoryOn)
        #expect(tracker.current.epoch == 0)
    }

    @Test func closingIsARevocationForGood() {
        let tracker = RevocationTracker()
        tracker.close()
        #expect(tracker.current.isClosed)
        #expect(tracker.current.epoch == 1)
        tracker.setMemory(.on)
        #expect(tracker.current.isClosed)
    }

    @Test func noRevocationIsLostBetweenThreads() async {
        let tracker = RevocationTracker()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask { for _ in 0..<1000 { tracker.revoking {} } }
            }
        }
        #expect(tracker.current.epoch == 16000)
    }
}
