import VFIO

extension NVMeModel {
    /// Opcodes of section 5 of the specification.
    enum AdminOpcode {
        static let deleteSubmissionQueue: UInt8 = 0x00
        static let createSubmissionQueue: UInt8 = 0x01
        static let getLogPage: UInt8 = 0x02
        static let deleteCompletionQueue: UInt8 = 0x04
        static let createCompletionQueue: UInt8 = 0x05
        static let identify: UInt8 = 0x06
        static let abort: UInt8 = 0x08
        static let setFeatures: UInt8 = 0x09
        static let getFeatures: UInt8 = 0x0a
        static let asynchronousEventRequest: UInt8 = 0x0c
    }

    /// - Returns: Dword 0 of the completion; `nil` for a command that completes later.
    mutating func executeAdmin(_ command: Command, _ bus: borrowing MockBus) throws(Status) -> UInt32? {
        switch command.opcode {
        case AdminOpcode.deleteSubmissionQueue: try deleteSubmissionQueue(command, bus)
        case AdminOpcode.createSubmissionQueue: try createSubmissionQueue(command)
        case AdminOpcode.deleteCompletionQueue: try deleteCompletionQueue(command, bus)
        case AdminOpcode.createCompletionQueue: try createCompletionQueue(command, bus)
        case AdminOpcode.getLogPage: try getLogPage(command, bus)
        case AdminOpcode.identify: try identify(command, bus)
        case AdminOpcode.abort: return abort(command, bus)
        case AdminOpcode.setFeatures: return try setFeature(command, bus)
        case AdminOpcode.getFeatures: return try getFeature(command)
        case AdminOpcode.asynchronousEventRequest: return try requestEvent(command)
        default: throw .invalidOpcode
        }
        return 0
    }

    // MARK: Queues

    private mutating func createCompletionQueue(_ command: Command, _ bus: borrowing MockBus) throws(Status) {
        let (number, entryCount) = try checkNewQueue(command)
        let vector = Int(command.dword11 >> 16)
        guard completionQueues[number] == nil else { throw .invalidQueueIdentifier }
        guard registers.completionEntrySize == 4 else { throw .invalidQueueSize }
        // The pin has one vector.
        guard vector < (bus.isMSIXEnabled ? Self.vectorCount : 1) else { throw .invalidInterruptVector }
        hasCreatedQueue = true
        completionQueues[number] = CompletionQueue(
            base: command.prp1, entryCount: entryCount, vector: vector,
            isInterruptEnabled: command.dword11 & 2 != 0)
    }

    private mutating func createSubmissionQueue(_ command: Command) throws(Status) {
        let (number, entryCount) = try checkNewQueue(command)
        let completionQueue = Int(command.dword11 >> 16)
        guard submissionQueues[number] == nil else { throw .invalidQueueIdentifier }
        guard registers.submissionEntrySize == 6 else { throw .invalidQueueSize }
        guard (1...queueLimit).contains(completionQueue) else { throw .invalidQueueIdentifier }
        guard completionQueues[completionQueue] != nil else { throw .invalidCompletionQueue }
        submissionQueues[number] = SubmissionQueue(
            base: command.prp1, entryCount: entryCount, completionQueue: completionQueue)
        completionQueues[completionQueue]!.userCount += 1
    }

    /// Checks a new queue of either kind.
    private func checkNewQueue(_ command: Command) throws(Status) -> (number: Int, entryCount: Int) {
        let (number, entryCount) = (Int(command.dword10 & 0xffff), Int(command.dword10 >> 16) + 1)
        guard (1...queueLimit).contains(number) else { throw .invalidQueueIdentifier }
        guard (2...Self.queueEntryLimit).contains(entryCount) else { throw .invalidQueueSize }
        // CAP.CQR: physically contiguous.
        guard command.dword11 & 1 != 0 else { throw .invalidField }
        guard command.prp1 & UInt64(registers.pageSize - 1) == 0 else { throw .invalidPRPOffset }
        return (number, entryCount)
    }

    private mutating func deleteSubmissionQueue(_ command: Command, _ bus: borrowing MockBus) throws(Status) {
        let number = Int(command.dword10 & 0xffff)
        guard (1...queueLimit).contains(number), let queue = submissionQueues[number] else {
            throw .invalidQueueIdentifier
        }
        // Held commands complete first.
        for held in heldCommands where held.queue == number {
            complete(
                Completion(submissionQueue: number, identifier: held.identifier, status: .abortedByQueueDeletion), bus)
        }
        heldCommands.removeAll { $0.queue == number }
        completionQueues[queue.completionQueue]!.userCount -= 1
        submissionQueues[number] = nil
    }

    private mutating func deleteCompletionQueue(_ command: Command, _ bus: borrowing MockBus) throws(Status) {
        let number = Int(command.dword10 & 0xffff)
        guard (1...queueLimit).contains(number), completionQueues[number] != nil else {
            throw .invalidQueueIdentifier
        }
        guard completionQueues[number]!.userCount == 0 else { throw .invalidQueueDeletion }
        completionQueues[number] = nil
        touchedQueues.removeAll { $0 == number }
        updatePin(bus)
    }

    /// Aborts a command that a fault holds, and returns 0 if there was one, 1 otherwise.
    private mutating func abort(_ command: Command, _ bus: borrowing MockBus) -> UInt32 {
        let (queue, identifier) = (Int(command.dword10 & 0xffff), UInt16(command.dword10 >> 16))
        guard let index = heldCommands.firstIndex(where: { $0.queue == queue && $0.identifier == identifier }) else {
            return 1
        }
        heldCommands.remove(at: index)
        complete(Completion(submissionQueue: queue, identifier: identifier, status: .abortRequested), bus)
        return 0
    }
}
