import VFIO

extension NVMeModel {
    /// An event that is not of a command: section 5.2 of the specification.
    enum AsynchronousEvent {
        case invalidDoorbell
        case invalidDoorbellValue
        /// The temperature has reached a threshold.
        case temperature

        /// 0 for errors, 1 for health.
        var type: UInt8 { self == .temperature ? 1 : 0 }
        /// Dword 0 of the completion: type, information, log page.
        var result: UInt32 {
            switch self {
            case .invalidDoorbell: 1 << 16
            case .invalidDoorbellValue: 1 << 16 | 1 << 8
            case .temperature: 2 << 16 | 1 << 8 | 1
            }
        }
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
            maskedEvents.insert(event.type)
            return event.result
        }
        eventRequests.append(command.identifier)
        return nil
    }

    /// Records an error, and reports it.
    mutating func raise(_ event: AsynchronousEvent, _ bus: borrowing MockBus) {
        errorCount += 1
        errorLog.insert(ErrorEntry(count: errorCount, event: event), at: 0)
        if errorLog.count > Self.errorLogLimit { errorLog.removeLast() }
        report(event, bus)
    }

    /// Reports an event, unless the driver has not read the log page since the last one of the type.
    private mutating func report(_ event: AsynchronousEvent, _ bus: borrowing MockBus) {
        if maskedEvents.contains(event.type) { return }
        guard let identifier = eventRequests.first else {
            if !pendingEvents.contains(where: { $0.type == event.type }) { pendingEvents.append(event) }
            return
        }
        eventRequests.removeFirst()
        maskedEvents.insert(event.type)
        complete(Completion(submissionQueue: 0, identifier: identifier, result: event.result), bus)
    }

    // MARK: Temperature

    /// Changes the temperature. At a threshold it is in the health log page, and an event if the driver has asked for
    /// those (Asynchronous Event Configuration, bit 1).
    ///
    /// - Parameters:
    ///   - kelvins: The composite temperature; 313 at first.
    ///   - bus: The bus of the device.
    public mutating func setTemperature(_ kelvins: UInt16, bus: borrowing MockBus) {
        temperature = kelvins
        checkTemperature(bus)
        sendInterrupts(bus)
    }

    /// Whether the temperature is at a threshold of the feature: not below the upper one, or not above the lower one.
    private var isTemperatureCritical: Bool {
        UInt32(temperature) >= features[Feature.temperatureThreshold]! || UInt32(temperature) <= lowerTemperatureLimit
    }

    /// Reports the temperature if it is at a threshold.
    mutating func checkTemperature(_ bus: borrowing MockBus) {
        guard isServing, isTemperatureCritical, features[Feature.asynchronousEvents]! & 1 << 1 != 0 else { return }
        report(.temperature, bus)
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
        let number = UInt8(truncatingIfNeeded: command.dword10)
        if (1...2).contains(number) && command.dword10 >> 15 & 1 == 0 { maskedEvents.remove(number - 1) }
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
        // Critical warnings, the temperature, 100 % of the spare blocks, with a threshold of 10 %.
        structure[0] = isTemperatureCritical ? 1 << 1 : 0
        structure.set(1, temperature)
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
