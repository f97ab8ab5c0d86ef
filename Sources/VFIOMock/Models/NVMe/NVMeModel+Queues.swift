import VFIO

extension NVMeModel {
    /// A submission queue entry.
    struct Command {
        typealias Words = (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64)

        private let words: Words

        init(_ words: Words) { self.words = words }

        var opcode: UInt8 { UInt8(truncatingIfNeeded: words.0) }
        /// `FUSE` and `PSDT`, which must be 0: commands are not fused, and data pointers are PRPs.
        var flags: UInt8 { UInt8(truncatingIfNeeded: words.0 >> 8) & 0xc3 }
        var identifier: UInt16 { UInt16(truncatingIfNeeded: words.0 >> 16) }
        var namespace: UInt32 { UInt32(truncatingIfNeeded: words.0 >> 32) }
        var prp1: UInt64 { words.3 }
        var prp2: UInt64 { words.4 }
        var dword10: UInt32 { UInt32(truncatingIfNeeded: words.5) }
        var dword11: UInt32 { UInt32(truncatingIfNeeded: words.5 >> 32) }
        var dword12: UInt32 { UInt32(truncatingIfNeeded: words.6) }
        var dword13: UInt32 { UInt32(truncatingIfNeeded: words.6 >> 32) }
        var dword14: UInt32 { UInt32(truncatingIfNeeded: words.7) }

        /// The first block of an NVM command.
        var firstBlock: UInt64 { words.5 }
        var blockCount: UInt64 { UInt64(dword12 & 0xffff) + 1 }
    }

    struct SubmissionQueue {
        var base: UInt64
        var entryCount: Int
        var completionQueue: Int
        var head = 0
        var tail = 0
    }

    struct CompletionQueue {
        var base: UInt64
        var entryCount: Int
        var vector: Int
        var isInterruptEnabled: Bool
        /// The number of submission queues that complete here.
        var userCount = 0
        var head = 0
        var tail = 0
        /// The phase of the next entries.
        var phase = true
        /// Whether an entry was added that raises an interrupt.
        var isTouched = false
        /// Whether the pin ignores the entries: their interrupt was lost.
        var isSilent = false
        /// Completions without room, from `firstWaiting` on.
        var waiting: [Completion] = []
        var firstWaiting = 0

        var isEmpty: Bool { head == tail }
        var isFull: Bool { (tail + 1) % entryCount == head }
        var usedCount: Int { (tail - head + entryCount) % entryCount }
    }

    /// A completion queue entry without what is known only when it is written.
    struct Completion {
        var submissionQueue: Int
        var identifier: UInt16
        var status = Status.success
        /// Dword 0.
        var result: UInt32 = 0
        var raisesInterrupt = true
    }

    // MARK: Doorbells

    /// A store to a doorbell.
    mutating func ring(_ offset: Int, _ value: UInt32, _ bus: borrowing MockBus) {
        let stride = 4 << doorbellStride
        guard isServing, offset % stride == 0 else { return }
        let (number, isCompletion) = ((offset / stride) >> 1, (offset / stride) & 1 != 0)
        if isCompletion {
            statistics.completionDoorbellWrites[number] += 1
            moveHead(number, Int(value), bus)
        } else {
            statistics.submissionDoorbellWrites[number] += 1
            moveTail(number, Int(value), bus)
        }
    }

    private mutating func moveTail(_ number: Int, _ tail: Int, _ bus: borrowing MockBus) {
        guard let queue = submissionQueues[number] else { return reject(.invalidDoorbell, bus) }
        guard tail < queue.entryCount, tail != queue.tail else { return reject(.invalidDoorbellValue, bus) }
        submissionQueues[number]!.tail = tail
        while isServing, let queue = submissionQueues[number], queue.head != queue.tail {
            guard let command = fetch(queue, bus) else {
                // The command is unknown, so it cannot be completed with an error.
                registers.isFatal = true
                break
            }
            submissionQueues[number]!.head = (queue.head + 1) % queue.entryCount
            take(command, number, bus)
        }
        sendInterrupts(bus)
    }

    private mutating func moveHead(_ number: Int, _ head: Int, _ bus: borrowing MockBus) {
        guard let entryCount = completionQueues[number]?.entryCount else { return reject(.invalidDoorbell, bus) }
        let old = completionQueues[number]!.head
        let isGood =
            head < entryCount && head != old
            && (head - old + entryCount) % entryCount <= completionQueues[number]!.usedCount
        guard isGood else { return reject(.invalidDoorbellValue, bus) }
        completionQueues[number]!.head = head
        postWaiting(number, bus)
        sendInterrupts(bus)
    }

    private mutating func reject(_ event: AsynchronousEvent, _ bus: borrowing MockBus) {
        statistics.invalidDoorbellWrites += 1
        raise(event, bus)
        sendInterrupts(bus)
    }

    private func fetch(_ queue: SubmissionQueue, _ bus: borrowing MockBus) -> Command? {
        var words: Command.Words = (0, 0, 0, 0, 0, 0, 0, 0)
        let isRead = unsafe withUnsafeMutableBytes(of: &words) { buffer in
            unsafe dmaRead(queue.base + UInt64(queue.head * 64), into: buffer, bus)
        }
        return isRead ? Command(words) : nil
    }

    // MARK: Completions

    mutating func complete(_ completion: Completion, _ bus: borrowing MockBus) {
        guard let number = submissionQueues[completion.submissionQueue]?.completionQueue else { return }
        post(completion, to: number, bus)
    }

    /// Writes an entry, or queues it until there is room.
    mutating func post(_ completion: Completion, to number: Int, _ bus: borrowing MockBus) {
        guard completionQueues[number] != nil else { return }
        if completionQueues[number]!.isFull || !completionQueues[number]!.waiting.isEmpty {
            completionQueues[number]!.waiting.append(completion)
        } else {
            write(completion, to: number, bus)
        }
    }

    private mutating func postWaiting(_ number: Int, _ bus: borrowing MockBus) {
        while !completionQueues[number]!.isFull,
            completionQueues[number]!.firstWaiting < completionQueues[number]!.waiting.count
        {
            let completion = completionQueues[number]!.waiting[completionQueues[number]!.firstWaiting]
            completionQueues[number]!.firstWaiting += 1
            write(completion, to: number, bus)
        }
        if completionQueues[number]!.firstWaiting == completionQueues[number]!.waiting.count {
            completionQueues[number]!.waiting.removeAll(keepingCapacity: true)
            completionQueues[number]!.firstWaiting = 0
        }
    }

    private mutating func write(_ completion: Completion, to number: Int, _ bus: borrowing MockBus) {
        let address = completionQueues[number]!.base + UInt64(completionQueues[number]!.tail * 16)
        let head = submissionQueues[completion.submissionQueue]?.head ?? 0
        let phase: UInt64 = completionQueues[number]!.phase ? 1 : 0
        var result = UInt64(completion.result)
        var rest =
            UInt64(head) | UInt64(completion.submissionQueue) << 16 | UInt64(completion.identifier) << 32
            | (UInt64(completion.status.field) << 1 | phase) << 48
        // The half with the phase is written last: a driver may poll it on another thread.
        unsafe withUnsafeBytes(of: &result) { unsafe _ = dmaWrite(address, from: $0, bus) }
        unsafe withUnsafeBytes(of: &rest) { unsafe _ = dmaWrite(address + 8, from: $0, bus) }
        completionQueues[number]!.tail += 1
        if completionQueues[number]!.tail == completionQueues[number]!.entryCount {
            completionQueues[number]!.tail = 0
            completionQueues[number]!.phase.toggle()
        }
        statistics.completionCount += 1
        completionQueues[number]!.isSilent = !completion.raisesInterrupt
        guard completion.raisesInterrupt, !completionQueues[number]!.isTouched else { return }
        completionQueues[number]!.isTouched = true
        touchedQueues.append(number)
    }

    // MARK: Interrupts

    /// Signals new entries: one message a queue, or the level of the pin.
    mutating func sendInterrupts(_ bus: borrowing MockBus) {
        for number in touchedQueues where completionQueues[number] != nil {
            completionQueues[number]!.isTouched = false
            if completionQueues[number]!.isInterruptEnabled { bus.raiseMSIX(vector: completionQueues[number]!.vector) }
        }
        touchedQueues.removeAll(keepingCapacity: true)
        updatePin(bus)
    }

    /// Sets the pin: asserted while MSI-X is off and a queue with an unmasked vector has entries.
    mutating func updatePin(_ bus: borrowing MockBus) {
        let mask = registers.interruptMask
        let isAsserted =
            !bus.isMSIXEnabled
            && completionQueues.contains { queue in
                guard let queue, queue.isInterruptEnabled, !queue.isEmpty, !queue.isSilent else { return false }
                return mask >> UInt32(queue.vector) & 1 == 0
            }
        guard isAsserted != isPinAsserted else { return }
        isPinAsserted = isAsserted
        bus.setINTx(isAsserted)
    }
}
