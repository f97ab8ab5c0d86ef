import VFIO

extension NVMeModel {
    /// An error that is not a command's: section 5.2 of the specification.
    enum AsynchronousEvent: UInt8 {
        case invalidDoorbell = 0
        case invalidDoorbellValue = 1

        /// All of them are errors.
        static let type: UInt8 = 0
        static let logPage: UInt8 = 1
    }

    /// An entry of the error information log.
    struct ErrorEntry {
        var count: UInt64
        var event: AsynchronousEvent
    }

    static let eventRequestLimit = 4
    static let errorLogLimit = 4

    /// - Returns: The result of the request; `nil` while it waits.
    mutating func requestEvent(_ command: Command) throws(Status) -> UInt32? {
        guard eventRequests.count < Self.eventRequestLimit else { throw .eventRequestLimitExceeded }
        if let event = pendingEvents.first {
            pendingEvents.removeFirst()
            maskedEvents.insert(AsynchronousEvent.type)
            return Self.result(event)
        }
        eventRequests.append(command.identifier)
        return nil
    }

    private static func result(_ event: AsynchronousEvent) -> UInt32 {
        UInt32(AsynchronousEvent.type) | UInt32(event.rawValue) << 8 | UInt32(AsynchronousEvent.logPage) << 16
    }

    /// Reports an event, unless the driver has not read the log page since the last one.
    mutating func raise(_ event: AsynchronousEvent, _ bus: borrowing MockBus) {
        errorCount += 1
        errorLog.insert(ErrorEntry(count: errorCount, event: event), at: 0)
        if errorLog.count > Self.errorLogLimit { errorLog.removeLast() }
        if maskedEvents.contains(AsynchronousEvent.type) { return }
        guard let identifier = eventRequests.first else {
            if pendingEvents.isEmpty { pendingEvents.append(event) }
            return
        }
        eventRequests.removeFirst()
        maskedEvents.insert(AsynchronousEvent.type)
        complete(Completion(submissionQueue: 0, identifier: identifier, result: Self.result(event)), bus)
    }

    // MARK: Log pages

    mutating func getLogPage(_ command: Command, _ bus: borrowing MockBus) throws(Status) {
        let dwords = UInt64(command.dword10 >> 16) | UInt64(command.dword11 & 0xffff) << 16
        let offset = UInt64(command.dword12) | UInt64(command.dword13) << 32
        let page: [UInt8]
        switch command.dword10 & 0xff {
        case 0x01: page = errorPage
        case 0x02: page = healthPage
        case 0x03:
            var structure = [UInt8](repeating: 0, count: 512)
            // The first slot is the active one.
            structure[0] = 1
            structure.set(8, 8, text: Identity.firmwareRevision)
            page = structure
        default: throw .invalidLogPage
        }
        guard offset <= UInt64(page.count), offset & 3 == 0 else { throw .invalidField }
        let byteCount = min((dwords + 1) * 4, UInt64(page.count) - offset)
        try send(Array(page[Int(offset)..<Int(offset + byteCount)]), of: command, bus)
        // Without RAE, reading the page allows new events of the type.
        if command.dword10 & 0xff == 1 && command.dword10 >> 15 & 1 == 0 {
            maskedEvents.remove(AsynchronousEvent.type)
        }
    }

    private var errorPage: [UInt8] {
        var structure = [UInt8](repeating: 0, count: 64 * Self.errorLogLimit)
        for (index, entry) in errorLog.enumerated() {
            structure.set(index * 64, entry.count)
            // No queue and no command.
            for field in [8, 10, 14] { structure.set(index * 64 + field, UInt16.max) }
        }
        return structure
    }

    private var healthPage: [UInt8] {
        var structure = [UInt8](repeating: 0, count: 512)
        // 40 degrees in kelvins; 100 % of the spare blocks, with a threshold of 10 %.
        structure.set(1, UInt16(313))
        structure.set(3, bytes: [100, 10])
        // In thousands of 512 bytes, rounded up.
        structure.set(32, (statistics.readByteCount + 511_999) / 512_000)
        structure.set(48, (statistics.writtenByteCount + 511_999) / 512_000)
        structure.set(64, UInt64(statistics.commandCount(opcode: Opcode.read)))
        structure.set(80, UInt64(statistics.commandCount(opcode: Opcode.write)))
        structure.set(176, errorCount)
        return structure
    }
}
