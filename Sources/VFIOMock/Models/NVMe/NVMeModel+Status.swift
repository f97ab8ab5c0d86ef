extension NVMeModel {
    /// The status of a completion: section 4.6.1 of the specification.
    public struct Status: Error, Sendable, Hashable {
        /// `SCT`, 0 to 7: 0 for generic, 1 for command specific, 2 for media errors.
        public var type: UInt8
        /// `SC`.
        public var code: UInt8
        /// `DNR`: the same command would fail again.
        public var doNotRetry: Bool

        public init(type: UInt8, code: UInt8, doNotRetry: Bool = false) {
            precondition(type < 8, "a status code type has 3 bits")
            self.type = type
            self.code = code
            self.doNotRetry = doNotRetry
        }

        private init(_ code: UInt8) { self.init(type: 0, code: code, doNotRetry: true) }

        private init(specific code: UInt8) { self.init(type: 1, code: code, doNotRetry: true) }

        /// The 15 bits of a completion queue entry, without the phase.
        var field: UInt16 { UInt16(code) | UInt16(type) << 8 | (doNotRetry ? 1 << 14 : 0) }

        public static let success = Status(type: 0, code: 0)
        public static let invalidOpcode = Status(0x01)
        public static let invalidField = Status(0x02)
        public static let dataTransferError = Status(type: 0, code: 0x04)
        public static let internalError = Status(type: 0, code: 0x06)
        public static let abortRequested = Status(type: 0, code: 0x07)
        public static let abortedByQueueDeletion = Status(type: 0, code: 0x08)
        public static let invalidNamespace = Status(0x0b)
        public static let sequenceError = Status(0x0c)
        public static let invalidPRPOffset = Status(0x13)
        public static let blockOutOfRange = Status(0x80)
        public static let namespaceNotReady = Status(type: 0, code: 0x82)

        public static let invalidCompletionQueue = Status(specific: 0x00)
        public static let invalidQueueIdentifier = Status(specific: 0x01)
        public static let invalidQueueSize = Status(specific: 0x02)
        public static let eventRequestLimitExceeded = Status(specific: 0x05)
        public static let invalidInterruptVector = Status(specific: 0x08)
        public static let invalidLogPage = Status(specific: 0x09)
        public static let invalidQueueDeletion = Status(specific: 0x0c)
        public static let featureNotSaveable = Status(specific: 0x0d)
        public static let featureNotChangeable = Status(specific: 0x0e)

        public static let writeFault = Status(type: 2, code: 0x80)
        public static let unrecoveredReadError = Status(type: 2, code: 0x81)
    }
}
