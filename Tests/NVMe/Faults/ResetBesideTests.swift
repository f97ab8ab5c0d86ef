import Dispatch
import Glibc
import Synchronization

@testable import NVMe

/// A controller that is reset, and closed, by one thread while a queue of it works on another.
@Suite(.timeLimit(.minutes(15)))
struct ResetBesideTests {
    private static let depth = 8
    private static let resetCount = 60

    private let machine = MockedDiskMachine()

    /// What the queue's thread has counted.
    private final class Counts: Sendable {
        let submitted = Atomic<Int>(0)
        let succeeded = Atomic<Int>(0)
        let aborted = Atomic<Int>(0)
    }

    @Test(arguments: [false, true]) func eachCommandEndsOnce(interrupts: Bool) throws {
        try machine.run { space in
            let controller = try Controller(Device(at: machine.disk, in: space))
            let disk = try controller.namespace()
            let queue = SharedQueue(try controller.makeQueue(depth: Self.depth, interrupts: interrupts))
            let counts = Counts()
            let group = DispatchGroup()
            // Of its own, since the threads that queues share may all be busy with tests that wait.
            DispatchQueue(label: "beside").async(group: group) {
                do {
                    try queue.with { try Self.work(&$0, disk, space, counts) }
                } catch {
                    Issue.record(error)
                }
                queue.drop()
            }
            for number in 0..<Self.resetCount {
                // Commands that have not ended when the reset begins, and do until it has stopped the controller: they
                // find their memory, or would fault.
                machine.withDisk { $0.inject(.holdCommand, count: 3) }
                let machine = machine
                DispatchQueue(label: "late").async(group: group) {
                    for _ in 0..<20 {
                        machine.machine.withDevice(NVMeModel.self, at: machine.disk) { $0.releaseAll(bus: $1) }
                        usleep(50)
                    }
                }
                try controller.reset()
                // Now at once, and now when it is well under way again.
                let enough = counts.succeeded.load(ordering: .relaxed) + number % 4 * 5
                while counts.succeeded.load(ordering: .relaxed) < enough,
                    group.wait(timeout: .now() + .milliseconds(1)) == .timedOut
                {
                    // Whatever is held still.
                    machine.machine.withDevice(NVMeModel.self, at: machine.disk) { $0.releaseAll(bus: $1) }
                }
            }
            // The queue is still alive, or has ended by now.
            do throws(NVMeError) { try controller.close() } catch {
                guard case .vfio(let failure) = error, failure.code == .inUse else { throw error }
            }
            machine.withDisk { $0.clearFaults() }
            group.wait()
            #expect(machine.withDisk { $0.faultCounts[.holdCommand] ?? 0 } > 0)
            let (succeeded, aborted) = (
                counts.succeeded.load(ordering: .relaxed), counts.aborted.load(ordering: .relaxed)
            )
            #expect(succeeded > 0 && aborted > 0)
            #expect(succeeded + aborted == counts.submitted.load(ordering: .relaxed))
            // Nothing was reached for that had been freed.
            #expect(machine.machine.faults == [])
            #expect(machine.withDisk { $0.statistics.enableCount } == Self.resetCount + 1)
        }
    }

    /// Reads and writes until the controller is closed.
    private static func work(
        _ queue: inout QueuePair, _ disk: Namespace, _ space: AddressSpace, _ counts: Counts
    ) throws {
        var inFlight: Set<CommandID> = []
        var stamp: UInt64 = 0
        var isClosed = false
        while !isClosed {
            // Memory of its own each time, that a command of an earlier life would show in, or fault at.
            let buffer = try space.allocate(byteCount: depth * 512)
            for place in 0..<depth {
                stamp += 1
                buffer.write64(stamp, at: place * 512)
                let command = queue.submitWrite(
                    of: disk, at: UInt64(place), from: buffer, offset: place * 512, ringing: false)
                guard let command else {
                    Issue.record("the queue is full with \(inFlight.count) commands")
                    return
                }
                #expect(inFlight.insert(command).inserted, "it is in flight twice")
                counts.submitted.add(1, ordering: .relaxed)
            }
            while !inFlight.isEmpty {
                do throws(NVMeError) { take(try queue.waitForCompletion(), &inFlight, counts) } catch {
                    #expect(error == .reset || error == .closed, "\(error)")
                    do throws(NVMeError) { try queue.recover() } catch {
                        #expect(error == .closed, "\(error)")
                        isClosed = true
                    }
                    while let completion = queue.nextCompletion() { take(completion, &inFlight, counts) }
                    #expect(inFlight.isEmpty, "recover() has left commands in flight")
                    inFlight = []
                }
            }
            try buffer.close()
        }
    }

    private static func take(_ completion: Completion, _ inFlight: inout Set<CommandID>, _ counts: Counts) {
        #expect(inFlight.remove(completion.command) != nil, "it ends twice, or was never submitted")
        if completion.status == .aborted {
            counts.aborted.add(1, ordering: .relaxed)
        } else {
            #expect(completion.status == .success)
            counts.succeeded.add(1, ordering: .relaxed)
        }
    }
}
