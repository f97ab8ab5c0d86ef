extension NVMeModel {
    /// Counts of a driver's actions.
    public struct Statistics: Sendable {
        private var adminCommands = [Int](repeating: 0, count: 256)
        private var commands = [Int](repeating: 0, count: 256)
        /// Stores to the tail doorbells, by queue.
        public internal(set) var submissionDoorbellWrites = [Int](repeating: 0, count: 65)
        /// Stores to the head doorbells, by queue.
        public internal(set) var completionDoorbellWrites = [Int](repeating: 0, count: 65)
        /// Stores to doorbells of missing queues, or of invalid values.
        public internal(set) var invalidDoorbellWrites = 0
        /// Completion queue entries written.
        public internal(set) var completionCount = 0
        /// How often `CC.EN` went from 0 to 1.
        public internal(set) var enableCount = 0
        /// How often `CC.EN` went from 1 to 0.
        public internal(set) var disableCount = 0
        /// Shutdown notifications.
        public internal(set) var shutdownCount = 0
        /// Bytes read from the disk by the host.
        public internal(set) var readByteCount: UInt64 = 0
        /// Bytes written to the disk by the host.
        public internal(set) var writtenByteCount: UInt64 = 0

        /// Returns the number of commands of I/O queues with an opcode.
        public func commandCount(opcode: UInt8) -> Int { commands[Int(opcode)] }

        /// Returns the number of admin commands with an opcode.
        public func adminCommandCount(opcode: UInt8) -> Int { adminCommands[Int(opcode)] }

        mutating func count(_ opcode: UInt8, isAdmin: Bool) {
            if isAdmin { adminCommands[Int(opcode)] += 1 } else { commands[Int(opcode)] += 1 }
        }
    }
}
