import Dispatch

/// The driver against a disk that goes wrong in each way that there is, a thousand times over.
@Suite struct ThousandFaultsTests {
    /// What one life of a disk came to.
    struct Outcome: Sendable {
        /// What went wrong, by kind; not commands that were held and let go again.
        var faultCounts: [String: Int] = [:]
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
    @Test func aThousandFaultsLoseNothing() async throws {
        let outcomes = try await withThrowingTaskGroup(of: [Outcome].self) { group in
            for seed in 1...4 as ClosedRange<UInt64> { group.addTask { try await Self.lives(seed: seed) } }
            return try await group.reduce(into: []) { $0 += $1 }
        }
        var total = Outcome()
        for outcome in outcomes {
            total.faultCounts.merge(outcome.faultCounts) { $0 + $1 }
            total.submittedCount += outcome.submittedCount
            total.endedCount += outcome.endedCount
            total.abortedCount += outcome.abortedCount
            total.failureCount += outcome.failureCount
            total.errors.merge(outcome.errors) { $0 + $1 }
            #expect(outcome.isClean)
            #expect(outcome.faults == [])
        }
        let count = total.faultCounts.values.reduce(0, +)
        #expect(count >= 1000, "\(total.faultCounts)")
        for kind in Self.kinds { #expect(total.faultCounts[kind, default: 0] >= 10, "\(kind) in \(total.faultCounts)") }
        #expect(total.endedCount == total.submittedCount)
        #expect(total.abortedCount > 0 && total.failureCount > 0)
        for name in ["timeout", "fatal", "reset", "protocol", "gone"] {
            #expect(total.errors[name, default: 0] > 0, "\(name) in \(total.errors)")
        }
    }

    /// Each of these happens ten times at least.
    private static let kinds = [
        "loseCommand", "loseCompletion", "holdCommand", "holdCompletion", "fail", "corruptData", "changeIdentifier",
        "duplicateCompletion", "loseInterrupt", "becomeFatal", "resetController", "remove", "staysDisabled",
        "staysReady", "neverShutsDown", "refused Delete",
    ]

    private static func lives(seed: UInt64) async throws -> [Outcome] {
        try await withCheckedThrowingContinuation { continuation in
            // It waits for commands that were lost, which is nothing to hold up the others' threads with.
            DispatchQueue.global().async {
                continuation.resume(
                    with: Result {
                        try (0..<5).map { try Self.live(seed: seed * 100 + $0, rounds: 54, interrupts: $0 % 2 == 1) }
                    })
            }
        }
    }

    /// One disk, from its bring-up until it is pulled out.
    private static func live(seed: UInt64, rounds: Int, interrupts: Bool) throws -> Outcome {
        var course = FaultCourse(seed: seed)
        try shutDown(course)
        let refusals = try work(&course, seed, rounds, interrupts)
        var outcome = Outcome()
        for (fault, count) in course.withModel({ model, _ in model.faultCounts }) {
            // Without what comes with it.
            let name = String("\(fault)".prefix { $0 != "(" })
            outcome.faultCounts[name, default: 0] += count
        }
        outcome.faultCounts["holdCommand", default: 0] -= course.releasedCommandCount
        outcome.faultCounts["holdCompletion", default: 0] -= course.releasedCompletionCount
        outcome.faultCounts["fail", default: 0] -= refusals
        outcome.faultCounts["refused Delete"] = refusals
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

    /// A life of the controller that ends badly.
    private static func shutDown(_ course: borrowing FaultCourse) throws {
        course.withModel { model, _ in model.inject(.neverShutsDown) }
        let controller = try Controller(
            Device(at: FaultCourse.address, in: AddressSpace(kernel: course.machine.kernel)),
            options: FaultCourse.options)
        do throws(NVMeError) {
            try controller.close()
            Issue.record("a shutdown that did not end")
        } catch {
            #expect(
                error == .timeout(waitingFor: "the controller's shutdown (CSTS.SHST = 10b)", limit: .milliseconds(2)))
        }
    }

    /// - Returns: How many Delete commands were refused.
    private static func work(
        _ course: inout FaultCourse, _ seed: UInt64, _ rounds: Int, _ interrupts: Bool
    ) throws -> Int {
        var refusals = 0
        var random = SplitMix64(seed: ~seed)
        let space = try AddressSpace(kernel: course.machine.kernel)
        let controller = try Controller(Device(at: FaultCourse.address, in: space), options: FaultCourse.options)
        let buffer = try space.allocate(byteCount: FaultCourse.depth * 4096)
        var queue = try controller.makeQueue(
            depth: FaultCourse.depth, maximumTransferByteCount: 4096, interrupts: interrupts)
        for number in 0..<rounds {
            course.round(.number(number, &random), &queue, buffer)
            // A round in which nothing goes wrong: the queue does work again.
            course.round(FaultPlan(), &queue, buffer)
            if number % 18 == 17 {
                // The controller does not want to forget the queue, whose memory is freed.
                let opcode: UInt8 = [0, 4].randomElement(using: &random)!
                let before = course.withModel { model, _ in
                    model.clearFaults()
                    model.inject(.fail(.internalError), on: .admin(opcode))
                    return model.faultCount
                }
                do { try queue.close() } catch {}
                refusals += course.withModel { model, _ in model.faultCount } - before
                queue = try controller.makeQueue(
                    depth: FaultCourse.depth, maximumTransferByteCount: 4096, interrupts: interrupts)
            }
        }
        course.round(FaultPlan(.remove), &queue, buffer)
        // What is gone cannot be told of, and yet all is given back.
        do { try queue.close() } catch { #expect(error == .gone) }
        do { try controller.close() } catch { #expect(error == .gone) }
        try buffer.close()
        return refusals
    }
}
