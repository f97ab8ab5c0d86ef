import Testing

@testable import VFIO

@Suite struct RevocationTrackerTests {
    @Test func itBeginsLive() {
        let state = RevocationTracker().current
        #expect(state.epoch == 0)
        #expect(state.isMemoryOn)
        #expect(!state.isClosed)
    }

    @Test func eachRevocationIsAnEpoch() {
        let tracker = RevocationTracker()
        tracker.revoke()
        tracker.revoke()
        #expect(tracker.current.epoch == 2)
        #expect(tracker.current.isMemoryOn)
    }

    @Test func memoryGoesOffAndOnWithoutAnEpoch() {
        let tracker = RevocationTracker()
        tracker.setMemory(on: false)
        #expect(!tracker.current.isMemoryOn)
        tracker.setMemory(on: true)
        #expect(tracker.current.isMemoryOn)
        #expect(tracker.current.epoch == 0)
    }

    @Test func closingIsARevocationForGood() {
        let tracker = RevocationTracker()
        tracker.close()
        #expect(tracker.current.isClosed)
        #expect(tracker.current.epoch == 1)
        tracker.setMemory(on: true)
        #expect(tracker.current.isClosed)
    }

    @Test func noRevocationIsLostBetweenThreads() async {
        let tracker = RevocationTracker()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask { for _ in 0..<1000 { tracker.revoke() } }
            }
        }
        #expect(tracker.current.epoch == 8000)
    }
}
