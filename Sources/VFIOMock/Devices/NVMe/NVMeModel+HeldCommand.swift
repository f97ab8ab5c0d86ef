extension NVMeModel {
    /// A command that a fault holds back.
    public struct HeldCommand: Sendable {
        /// Its submission queue.
        public let queue: Int
        public let identifier: UInt16
        public let opcode: UInt8
        /// Whether it was carried out already.
        public var isExecuted: Bool { completion != nil }

        let command: Command
        let completion: Completion?
    }
}
