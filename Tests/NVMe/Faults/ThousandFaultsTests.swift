import Dispatch
import NVMe
import Testing
import VFIO
import VFIOMock

/// The driver against a disk that goes wrong in each way that there is, a thousand times over.
@Suite struct ThousandFaultsTests {
    /// What one life of a disk came to.
    struct Outcome: Sendable {
        var faultCount = 0
        var submittedCount = 0
        var endedCount = 0
        var abortedCount = 0
        var failureCount = 0
        var errors: [String: Int] = [:]
        var isClean = false
        var faults: [IOMMUFault] = []
    }

    /// Each command ends once, whatever happens, with the data that it should have; nothing is left behind; and the
    /// device does no DMA to where it should not.
    @Test(arguments: [1, 2, 3, 4] as [UInt64])
    func aThousandFaultsLoseNothing(seed: UInt64) async throws {
        let outcomes = try await withCheckedThrowingContinuation { continuation in
            // It waits for commands that were lost, which is nothing to hold up the others' threads with.
            DispatchQueue.global().async {
                continuation.resume(
                    with: Result {
                        try (0..<5).map { try Self.live(seed: seed * 100 + $0, rounds: 52, interrupts: $0 % 2 == 1) }
                    })
            }
        }
        var total = Outcome()
        for outcome in outcomes {
            total.faultCount += outcome.faultCount
            total.submittedCount += outcome.submittedCount
            total.endedCount += outcome.endedCount
            total.abortedCount += outcome.abortedCount
            total.failureCount += outcome.failureCount
            total.errors.merge(outcome.errors) { $0 + $1 }
            #expect(outcome.isClean)
            #expect(outcome.faults == [])
        }
        // Four seeds make more than a thousand.
        #expect(total.faultCount >= 250)
        #expect(total.endedCount == total.submittedCount)
        #expect(total.abortedCount > 0 && total.failureCount > 0)
        for name in ["timeout", "fatal", "reset", "protocol", "gone"] {
            #expect(total.errors[name, default: 0] > 0, "\(name) in \(total.errors)")
        }
    }

    /// One disk, from its bring-up until it is pulled out.
    private static func live(seed: UInt64, rounds: Int, interrupts: Bool) throws -> Outcome {
        var course = FaultCourse(seed: seed)
        try work(&course, seed, rounds, interrupts)
        var outcome = Outcome()
        outcome.faultCount = course.withModel { model, _ in model.faultCount }
        outcome.submittedCount = course.submittedCount
        outcome.endedCount = course.successCount + course.failureCount + course.abortedCount
        outcome.abortedCount = course.abortedCount
        outcome.failureCount = course.failureCount
        outcome.errors = course.errors
        outcome.faults = course.machine.faults
        outcome.isClean =
            course.machine.openFiles.isEmpty && course.machine.pinnedByteCount == 0 && course.machine.mappings.isEmpty
        return outcome
    }

    private static func work(_ course: inout FaultCourse, _ seed: UInt64, _ rounds: Int, _ interrupts: Bool) throws {
        var random = SplitMix64(seed: ~seed)
        let space = try AddressSpace(kernel: course.machine.kernel)
        let controller = try Controller(
            Device(at: FaultCourse.address, in: space), options: FaultCourse.options)
        let buffer = try space.allocate(byteCount: FaultCourse.depth * 4096)
        var queue = try controller.makeQueue(
            depth: FaultCourse.depth, maximumTransferByteCount: 4096, interrupts: interrupts)
        for number in 0..<rounds {
            course.round(.number(number, &random), &queue, buffer)
            // A round in which nothing goes wrong: the queue does work again.
            course.round(FaultPlan(), &queue, buffer)
        }
        course.round(FaultPlan(.remove), &queue, buffer)
        // What is gone cannot be told of, and yet all is given back.
        do { try queue.close() } catch { #expect(error == .gone) }
        do { try controller.close() } catch { #expect(error == .gone) }
        try buffer.close()
    }
}
