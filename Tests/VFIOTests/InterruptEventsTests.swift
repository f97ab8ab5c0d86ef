import Glibc
import Synchronization

@testable import VFIO

/// The interrupts as a sequence, over event counters of the real kernel.
@Suite(.timeLimit(.minutes(15)))
struct InterruptEventsTests {
    private let kernel = ScriptedKernel.machine()

    private func vector(_ number: Int = 0) throws -> InterruptVector {
        let device = try kernel.device()
        return try device.interrupts(.msi).enable(vector: number)
    }

    /// Raises the interrupt a number of times, as the kernel does on the device's behalf.
    private static func raise(_ event: FileDescriptor, _ count: UInt64 = 1) {
        withUnsafeBytes(of: count) { #expect(Glibc.write(event.rawValue, $0.baseAddress, 8) == 8) }
    }

    private func event(of vector: borrowing InterruptVector) -> FileDescriptor { vector.withEvent { $0 } }

    // MARK: Without waiting

    @Test func interruptsAreCounted() throws {
        let vector = try vector()
        #expect(try vector.poll() == nil)
        Self.raise(event(of: vector), 3)
        Self.raise(event(of: vector))
        #expect(try vector.poll() == 4)
        #expect(try vector.poll() == nil)
        try vector.close()
    }

    @Test func aWaitEndsWithAnInterruptOrInTime() throws {
        let vector = try vector()
        #expect(try vector.wait(timeout: .zero) == nil)
        #expect(try vector.wait(timeout: .seconds(-1)) == nil)
        let clock = ContinuousClock()
        let start = clock.now
        #expect(try vector.wait(timeout: .milliseconds(20)) == nil)
        #expect(clock.now - start >= .milliseconds(20))
        Self.raise(event(of: vector), 2)
        #expect(try vector.wait() == 2)
        Self.raise(event(of: vector))
        #expect(try vector.wait(timeout: .seconds(Int64.max)) == 1)
    }

    // MARK: The sequence

    @Test func whatHasComeAlreadyIsTheFirstElement() async throws {
        let vector = try vector()
        Self.raise(event(of: vector), 7)
        var iterator = vector.events.makeAsyncIterator()
        #expect(try await iterator.next() == 7)
    }

    @Test func eachWaitEndsWithAnInterrupt() async throws {
        let vector = try vector()
        let event = event(of: vector)
        let events = vector.events
        let reader = Task {
            var counts: [UInt64] = []
            for try await count in events {
                counts.append(count)
                if counts.count == 5 { break }
                Self.raise(event, UInt64(counts.count + 1))
            }
            return counts
        }
        try await Task.sleep(for: .milliseconds(5))
        Self.raise(event)
        #expect(try await reader.value == [1, 2, 3, 4, 5])
        _ = vector.index
    }

    @Test func aCancelledTaskGetsTheEnd() async throws {
        let vector = try vector()
        let events = vector.events
        for milliseconds in [0, 0, 1, 5] {
            let waiting = Task {
                var iterator = events.makeAsyncIterator()
                return try await iterator.next()
            }
            if milliseconds > 0 { try await Task.sleep(for: .milliseconds(milliseconds)) }
            waiting.cancel()
            #expect(try await waiting.value == nil)
        }
        // And the vector goes on.
        Self.raise(event(of: vector))
        #expect(try vector.poll() == 1)
    }

    @Test func aCancelledTaskTakesNoInterrupt() async throws {
        let vector = try vector()
        Self.raise(event(of: vector))
        let events = vector.events
        let cancelled = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            var iterator = events.makeAsyncIterator()
            return try await iterator.next()
        }
        #expect(try await cancelled.value == nil)
        #expect(try vector.poll() == 1)
    }

    @Test func closingEndsEverySequence() async throws {
        let vector = try vector()
        let events = vector.events
        let waiting = (0..<8).map { _ in
            Task {
                var counts = 0
                for try await _ in events { counts += 1 }
                return counts
            }
        }
        try await Task.sleep(for: .milliseconds(20))
        try vector.close()
        for task in waiting { #expect(try await task.value == 0) }
        // Also one that begins only now.
        var late = events.makeAsyncIterator()
        #expect(try await late.next() == nil)
    }

    @Test func noInterruptIsLostOrDoubledBetweenSequences() async throws {
        let vector = try vector()
        let event = event(of: vector)
        let events = vector.events
        let shared = Total()
        let readers = (0..<4).map { _ in
            Task {
                for try await count in events { shared.add(count) }
            }
        }
        for round in 0..<500 {
            Self.raise(event)
            if round % 50 == 0 { try await Task.sleep(for: .milliseconds(1)) }
        }
        while shared.value < 500 { try await Task.sleep(for: .milliseconds(1)) }
        try await Task.sleep(for: .milliseconds(5))
        #expect(shared.value == 500)
        for reader in readers { reader.cancel() }
        for reader in readers { try await reader.value }
        _ = vector.index
    }

    @Test func closingBetweenTheLookAndTheReadIsNoInterrupt() async throws {
        let box = Box(try vector())
        var iterator = box.events.makeAsyncIterator()
        // The vector is closed after the sequence has found it on, and before it reads the event.
        kernel.beforeNextRead { box.close() }
        let count = try await iterator.next()
        #expect(count == nil)
        #expect(try await iterator.next() == nil)
    }

    /// The end of a vector is no write to its event, which KVM or another process may be listening to.
    @Test func closingLeavesTheEventAlone() throws {
        let box = Box(try vector())
        box.close()
        #expect(try kernel.waitUntilReadable(box.event, timeout: 0) == false)
        var count: UInt64 = 0
        #expect(Glibc.read(box.event.rawValue, &count, 8) == -1)
        #expect(errno == EAGAIN)
    }

    /// One that has noticed the end by itself takes nothing away from those that wait.
    @Test func theFirstToNoticeTheEndLeavesNobodyAsleep() async throws {
        let box = Box(try vector())
        let waiting = (0..<4).map { _ in
            Task { [events = box.events] in
                var iterator = events.makeAsyncIterator()
                return try await iterator.next()
            }
        }
        try await Task.sleep(for: .milliseconds(20))
        var iterator = box.events.makeAsyncIterator()
        kernel.beforeNextRead { box.close() }
        #expect(try await iterator.next() == nil)
        for task in waiting { #expect(try await task.value == nil) }
    }

    @Test func aClosedVectorDoesNotKeepTheDeviceOpen() async throws {
        let device = try kernel.device()
        let vector = try device.interrupts(.msi).enable()
        let events = vector.events
        let waiting = Task {
            var iterator = events.makeAsyncIterator()
            return try await iterator.next()
        }
        try await Task.sleep(for: .milliseconds(5))
        try vector.close()
        // While the sequence still lives, and Dispatch may not have let go of the event yet.
        try device.close()
        #expect(!kernel.openNames.contains { $0.hasPrefix("/dev/vfio/devices") })
        #expect(try await waiting.value == nil)
        var late = events.makeAsyncIterator()
        #expect(try await late.next() == nil)
    }

    @Test func aVectorThatIsOnKeepsTheDeviceOpen() throws {
        let device = try kernel.device()
        let vector = try device.interrupts(.msi).enable()
        let error = failure(closing: device)
        #expect(error?.code == .inUse)
        #expect(error?.hint?.contains("vector 0 of MSI") == true)
        #expect(kernel.openNames.contains("/dev/vfio/devices/vfio0"))
        try vector.close()
        #expect(!kernel.openNames.contains("/dev/vfio/devices/vfio0"))
    }

    /// A task that is cancelled after it has looked, and before it waits.
    @Test func aWaitThatIsCancelledBeforeItBeginsKeepsNothing() async throws {
        do {
            let vector = try vector()
            let events = vector.events
            // Called within the task, between its look at the cancellation and its wait.
            kernel.beforeNextRead { withUnsafeCurrentTask { $0?.cancel() } }
            let cancelled = Task {
                var iterator = events.makeAsyncIterator()
                return try await iterator.next()
            }
            #expect(try await cancelled.value == nil)
            _ = vector.index
        }
        // The task itself may end a moment later.
        for _ in 0..<50 where !kernel.openNames.isEmpty { try await Task.sleep(for: .milliseconds(10)) }
        #expect(kernel.openNames.isEmpty, "the line and the wait hold each other, and the line the device")
    }

    @Test func theSequenceKeepsTheVectorOn() async throws {
        let events: InterruptEvents
        let event: FileDescriptor
        do {
            let vector = try vector()
            events = vector.events
            event = self.event(of: vector)
        }
        #expect(kernel.openNames.contains("eventfd"))
        Self.raise(event, 3)
        var iterator = events.makeAsyncIterator()
        #expect(try await iterator.next() == 3)
    }

    @Test func everythingIsGivenBackAtTheEnd() async throws {
        do {
            let vector = try vector()
            var iterator = vector.events.makeAsyncIterator()
            Self.raise(event(of: vector))
            _ = try await iterator.next()
            try vector.close()
        }
        #expect(kernel.openNames.isEmpty)
    }

    @Test func aReadThatFailsIsAnError() async throws {
        let vector = try vector()
        let event = event(of: vector)
        var iterator = vector.events.makeAsyncIterator()
        // A pipe without a writer reads as nothing at all, which is no count.
        let pipe = try FileDescriptor.pipe()
        try pipe.writeEnd.close()
        #expect(dup2(pipe.readEnd.rawValue, event.rawValue) == event.rawValue)
        try pipe.readEnd.close()
        let error = await #expect(throws: VFIOError.self) { _ = try await iterator.next() }
        #expect(error?.subject == "vector 0 of MSI of 0000:00:01.0")
        #expect(throws: VFIOError.self) { try vector.poll() }
    }

    @Test func aThousandWaitsLeakNothing() async {
        // In a process of its own, where nobody else opens descriptors.
        await #expect(processExitsWith: .success) {
            let kernel = ScriptedKernel.machine()
            let device = try kernel.device()
            let vector = try device.interrupts(.msi).enable()
            let event = vector.withEvent { $0 }
            let events = vector.events
            func wait(_ isCancelled: Bool) async throws {
                let waiting = Task {
                    var iterator = events.makeAsyncIterator()
                    return try await iterator.next()
                }
                await Task.yield()
                if isCancelled {
                    waiting.cancel()
                } else {
                    var one: UInt64 = 1
                    _ = Glibc.write(event.rawValue, &one, 8)
                }
                _ = try await waiting.value
                _ = try vector.poll()
            }
            for round in 0..<20 { try await wait(round % 2 == 0) }
            let host = HostKernel()
            let before = try host.names(in: "/proc/self/fd").count
            for round in 0..<1000 { try await wait(round % 2 == 0) }
            #expect(try host.names(in: "/proc/self/fd").count < before + 50)
        }
    }

    /// A sum that several tasks add to.
    private final class Total: Sendable {
        private let sum = Mutex<UInt64>(0)
        var value: UInt64 { sum.withLock { $0 } }
        func add(_ count: UInt64) { sum.withLock { $0 += count } }
    }

    /// A vector that can be closed from elsewhere.
    private final class Box: Sendable {
        let events: InterruptEvents
        let event: FileDescriptor
        private let vector: Mutex<InterruptVector?>

        init(_ vector: consuming InterruptVector) {
            events = vector.events
            event = vector.withEvent { $0 }
            self.vector = Mutex(vector)
        }

        func close() {
            guard let vector = vector.withLock({ $0.take() }) else { return }
            do { try vector.close() } catch { Issue.record(error) }
        }
    }
}
