extension NVMeModel {
    /// What a driver has done.
    public struct Statistics: Sendable {
        private var adminCommands = [Int](repeating: 0, count: 256)
        private var commands = [Int](repeating: 0, count: 256)
        /// Stores to the tail doorbells, by queue.
        public internal(set) var submissionDoorbellWrites = [Int](repeating: 0, count: 65)
        /// Stores to the head doorbells, by queue.
        public internal(set) var completionDoorbellWrites = [Int](repeating: 0, count: 65)
        /// Stores to doorbells of queues that are not there, or of values that cannot be.
        public internal(set) var invalidDoorbellWrites = 0
        /// Completion queue entries that were written.
        public internal(set) var completionCount = 0
        /// How often `CC.EN` went from 0 to 1.
        public internal(set) var enableCount = 0
        /// How often `CC.EN` went from 1 to 0.
        public internal(set) var disableCount = 0
        /// Shutdown notifications.
        public internal(set) var shutdownCount = 0
        /// Bytes that went from the disk to the host.
        public internal(set) var readByteCount: UInt64 = 0
        /// Bytes that went from the host to the disk.
        public internal(set) var writtenByteCount: UInt64 = 0

        /// How many commands with an opcode came in an I/O queue.
        public func commandCount(opcode: UInt8) -> Int { commands[Int(opcode)] }

        /// How many commands with an opcode came in the admin queue.
        public func adminCommandCount(opcode: UInt8) -> Int { adminCommands[Int(opcode)] }

        mutating func count(_ opcode: UInt8, isAdmin: Bool) {
            if isAdmin { adminCommands[Int(opcode)] += 1 } else { commands[Int(opcode)] += 1 }
        }
    }
}
