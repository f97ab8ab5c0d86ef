@testable import NVMe

/// Commands of all kinds on two queues, and the account of each: it has to end once, with data that is right where
/// success is told.
struct FaultLoad {
    /// What a command was to do.
    private struct Job {
        enum Kind { case read, write, flush }
        let kind: Kind
        let block: UInt64
        let count: Int
        /// Where its data is in the buffer.
        let offset: Int
    }

    let machine: MockedDiskMachine
    let disk: Namespace
    private var random: SplitMix64
    /// What the disk holds, as far as successes tell. Blocks of writes that failed are looked at.
    private var contents: [UInt64: [UInt8]] = [:]
    private var open: [[CommandID: Job]] = [[:], [:]]
    private(set) var submitted = 0
    private(set) var succeeded = 0
    private(set) var failed = 0
    private(set) var aborted = 0

    static let depth = 8
    static let slotByteCount = 16384

    init(_ machine: MockedDiskMachine, _ disk: Namespace, seed: UInt64) {
        self.machine = machine
        self.disk = disk
        random = SplitMix64(seed: seed)
    }

    /// Room for all data of both queues.
    static var bufferByteCount: Int { 2 * depth * slotByteCount }

    var openCount: Int { open[0].count + open[1].count }

    mutating func pick(_ range: Range<Int>) -> Int { Int.random(in: range, using: &random) }

    // MARK: Submitting

    /// Fills a queue with commands, none of which touches a block of another that is open.
    mutating func submit(to queue: inout QueuePair, _ number: Int, _ buffer: borrowing DMABuffer) {
        let count = pick(1..<Self.depth + 1)
        for index in 0..<count {
            let job = Job(
                kind: [.read, .read, .write, .write, .flush][pick(0..<5)],
                // Each command of each queue has blocks of its own in a round.
                block: UInt64(number * Self.depth + index) * 32 + UInt64(pick(0..<8)), count: pick(1..<25),
                offset: (number * Self.depth + index) * Self.slotByteCount + pick(0..<1024) * 4)
            let command: CommandID?
            switch job.kind {
            case .read:
                buffer.copy([UInt8](repeating: 0xee, count: job.count * 512), to: job.offset)
                command = queue.submitRead(
                    of: disk, at: job.block, count: job.count, into: buffer, offset: job.offset, ringing: false)
            case .write:
                buffer.copy(pattern(job.count * 512, seed: submitted), to: job.offset)
                command = queue.submitWrite(
                    of: disk, at: job.block, count: job.count, from: buffer, offset: job.offset, ringing: false)
            case .flush: command = queue.submitFlush(of: disk, ringing: false)
            }
            guard let command else {
                Issue.record("the queue is full with \(open[number].count) of \(Self.depth) commands")
                return
            }
            #expect(open[number].updateValue(job, forKey: command) == nil, "\(command) is in flight twice")
            submitted += 1
        }
        queue.ring()
    }

    // MARK: Ending

    /// Takes what has come, and recovers the queue where it has to be, until all of its commands have ended.
    ///
    /// - Returns: The errors on the way.
    mutating func finish(_ queue: inout QueuePair, _ number: Int, _ buffer: borrowing DMABuffer) -> [NVMeError] {
        var errors: [NVMeError] = []
        while !open[number].isEmpty {
            do throws(NVMeError) { end(try queue.waitForCompletion(), number, buffer) } catch {
                errors.append(error)
                errors += recover(&queue)
                while let completion = queue.nextCompletion() { end(completion, number, buffer) }
                let left = open[number]
                #expect(left.isEmpty, "after \(error) these never ended: \(left)")
                open[number] = [:]
            }
        }
        expectEqual(queue.inFlightCount, 0)
        return errors
    }

    /// Recovers a queue, more than once when need be.
    private func recover(_ queue: inout QueuePair) -> [NVMeError] {
        var errors: [NVMeError] = []
        for _ in 0..<4 {
            do throws(NVMeError) {
                try queue.recover()
                return errors
            } catch {
                errors.append(error)
                if error == .gone { return errors }
            }
        }
        Issue.record("the queue does not recover: \(errors)")
        return errors
    }

    private mutating func end(_ completion: Completion, _ number: Int, _ buffer: borrowing DMABuffer) {
        guard let job = open[number].removeValue(forKey: completion.command) else {
            Issue.record("\(completion) is for no command that is open")
            return
        }
        if completion.status.isSuccess {
            succeeded += 1
        } else if completion.status == .aborted {
            aborted += 1
        } else {
            failed += 1
        }
        let bytes = buffer.bytes(at: job.offset, count: job.count * 512)
        switch job.kind {
        case .flush: break
        case .read:
            guard completion.status.isSuccess else { return }
            let expected = (0..<job.count).flatMap { contents[job.block + UInt64($0)] ?? Self.zeros }
            #expect(bytes == expected, "wrong data in a read that is said to be right")
        case .write:
            for index in 0..<job.count {
                let block = job.block + UInt64(index)
                let written = Array(bytes[index * 512..<(index + 1) * 512])
                let found = machine.withDisk { $0.disk.bytes(at: block) }
                if !completion.status.isSuccess {
                    // Done or not: each block is the old one or the new one.
                    #expect(found == written || found == contents[block] ?? Self.zeros)
                } else {
                    #expect(found == written, "a write that is said to be done is not")
                }
                contents[block] = found
            }
        }
    }

    private static let zeros = [UInt8](repeating: 0, count: 512)
}
