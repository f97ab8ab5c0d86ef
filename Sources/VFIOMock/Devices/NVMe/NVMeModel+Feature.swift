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
}
