/// A fault of an ``NVMeModel``.
///
/// ``NVMeModel/inject(_:on:skipping:count:)`` plans faults of commands, and of enabling and disabling the controller.
/// Faults are deterministic: the same plan and the same driver give the same result.
public enum NVMeFault: Sendable, Hashable {
    // MARK: Commands

    /// The command is lost: it has no effect, and never completes.
    case loseCommand
    /// The command is executed, but its completion is lost.
    case loseCompletion
    /// The command is held until the test releases it: see ``NVMeModel/release(_:bus:)``.
    case holdCommand
    /// The command is executed, and its completion is held until the test releases it.
    case holdCompletion
    /// The command has no effect, and completes with a status.
    case fail(NVMeModel.Status)
    /// The command is executed, with each bit of its data inverted.
    case corruptData
    /// The command is executed, and completes with another command's identifier.
    case changeIdentifier(to: UInt16)
    /// The command is executed, and completes twice.
    case duplicateCompletion
    /// The command is executed and completes, but its interrupt is lost.
    case loseInterrupt
    /// `CSTS.CFS` is set, and nothing completes until a reset.
    case becomeFatal
    /// The controller resets itself, as by a function level reset: the command, all others in flight, and all queues
    /// are lost, and `CC.EN` is 0.
    case resetController
    /// The controller is removed: see ``NVMeModel/remove(bus:)``.
    case remove

    // MARK: Controller

    /// `CC.EN` goes to 1, and `CSTS.RDY` stays 0.
    case staysDisabled
    /// `CC.EN` goes to 0, and `CSTS.RDY` stays 1.
    case staysReady
    /// `CSTS.SHST` reports forever that the shutdown is in progress.
    case neverShutsDown

    /// The commands that a fault applies to.
    public struct Match: Sendable, Hashable {
        /// The submission queue, 0 for the admin queue; `nil` for all.
        public var queue: Int?
        /// Whether it is for the admin queue or for I/O queues; `nil` for both.
        public var isAdmin: Bool?
        public var opcode: UInt8?
        /// Commands of an I/O queue whose first block is one of these.
        public var blocks: Range<UInt64>?

        public init(queue: Int? = nil, isAdmin: Bool? = nil, opcode: UInt8? = nil, blocks: Range<UInt64>? = nil) {
            self.queue = queue
            self.isAdmin = isAdmin
            self.opcode = opcode
            self.blocks = blocks
        }

        /// Each command of an I/O queue.
        public static let io = Match(isAdmin: false)

        /// Each command of an I/O queue with an opcode: 0 for Flush, 1 for Write, 2 for Read, 8 for Write Zeroes.
        public static func io(_ opcode: UInt8, blocks: Range<UInt64>? = nil) -> Match {
            Match(isAdmin: false, opcode: opcode, blocks: blocks)
        }

        /// Each command of the admin queue.
        public static let admin = Match(isAdmin: true)

        /// Each command of the admin queue with an opcode.
        public static func admin(_ opcode: UInt8) -> Match { Match(isAdmin: true, opcode: opcode) }
    }
}
