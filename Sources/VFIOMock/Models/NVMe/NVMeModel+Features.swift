extension NVMeModel {
    /// Feature identifiers of section 5.21.1 of the specification.
    enum Feature {
        static let arbitration: UInt8 = 0x01
        static let powerManagement: UInt8 = 0x02
        static let temperatureThreshold: UInt8 = 0x04
        static let errorRecovery: UInt8 = 0x05
        static let volatileWriteCache: UInt8 = 0x06
        static let numberOfQueues: UInt8 = 0x07
        static let interruptCoalescing: UInt8 = 0x08
        static let interruptVectorConfiguration: UInt8 = 0x09
        static let writeAtomicity: UInt8 = 0x0a
        static let asynchronousEvents: UInt8 = 0x0b
    }

    /// In kelvins: 70 degrees.
    static let temperatureLimit: UInt32 = 343

    mutating func setDefaultFeatures() {
        let count = UInt32(queueLimit - 1)
        lowerTemperatureLimit = 0
        features = [
            Feature.arbitration: 7, Feature.powerManagement: 0,
            Feature.temperatureThreshold: Self.temperatureLimit, Feature.errorRecovery: 0,
            Feature.volatileWriteCache: 1, Feature.numberOfQueues: count << 16 | count,
            Feature.interruptCoalescing: 0, Feature.interruptVectorConfiguration: 0, Feature.writeAtomicity: 0,
            Feature.asynchronousEvents: 0,
        ]
    }

    /// - Returns: The value.
    func getFeature(_ command: Command) throws(Status) -> UInt32 {
        // Only current values are supported: ONCS has no bit for the others.
        guard command.dword10 >> 8 & 7 == 0,
            let value = features[UInt8(truncatingIfNeeded: command.dword10)]
        else { throw .invalidField }
        switch UInt8(truncatingIfNeeded: command.dword10) {
        case Feature.interruptVectorConfiguration:
            guard command.dword11 & 0xffff < UInt32(Self.vectorCount) else { throw .invalidField }
            return command.dword11 & 0xffff
        case Feature.temperatureThreshold:
            // Of the composite temperature, the only one: the upper threshold or the lower one.
            guard command.dword11 >> 16 & 0xf == 0 else { return 0 }
            return command.dword11 >> 20 & 3 == 1 ? lowerTemperatureLimit : value
        default: return value
        }
    }

    /// - Returns: The granted value, for features where it may differ from the requested one.
    mutating func setFeature(_ command: Command, _ bus: borrowing MockBus) throws(Status) -> UInt32 {
        if command.dword10 >> 31 != 0 { throw .featureNotSaveable }
        let identifier = UInt8(truncatingIfNeeded: command.dword10)
        guard let old = features[identifier] else { throw .invalidField }
        var value = command.dword11
        switch identifier {
        case Feature.temperatureThreshold:
            // As in QEMU, a sensor that is not there has no threshold.
            guard value >> 16 & 0xf == 0 else { return 0 }
            switch value >> 20 & 3 {
            case 0: features[identifier] = value & 0xffff
            case 1: lowerTemperatureLimit = value & 0xffff
            default: throw .invalidField
            }
            checkTemperature(bus)
            return 0
        case Feature.powerManagement:
            // There is one power state.
            guard value & 0x1f == 0 else { throw .invalidField }
        case Feature.volatileWriteCache: value &= 1
        case Feature.numberOfQueues:
            guard !hasCreatedQueue else { throw .sequenceError }
            // The numbers are zero-based; 65536 is invalid.
            guard value & 0xffff != 0xffff, value >> 16 != 0xffff else { throw .invalidField }
            // All queues are granted, as the specification allows.
            return old
        case Feature.interruptVectorConfiguration:
            guard value & 0xffff < UInt32(Self.vectorCount) else { throw .invalidField }
        default: break
        }
        features[identifier] = value
        return 0
    }
}
