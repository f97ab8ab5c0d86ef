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
}
