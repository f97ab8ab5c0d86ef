/// A way in which an ``NVMeModel`` goes wrong.
///
/// Those that befall commands are planned with ``NVMeModel/inject(_:on:skipping:count:)``, as are those of bringing the
/// controller up and down. Nothing is left to chance: the same plan and the same driver give the same course.
public enum NVMeFault: Sendable, Hashable {
    // MARK: Of a command

    /// The command is lost: it has no effect, and never completes.
    case loseCommand
    /// The command is carried out, but its completion is lost.
    case loseCompletion
    /// The command waits, and is carried out when the test releases it: see ``NVMeModel/release(_:bus:)``.
    case holdCommand
    /// The command is carried out, and its completion waits until the test releases it.
    case holdCompletion
    /// The command has no effect, and completes with a status.
    case fail(NVMeModel.Status)
    /// The command is carried out, with each bit of its data inverted on the way.
    case corruptData
    /// The command is carried out, and completes under another command's identifier.
    case changeIdentifier(to: UInt16)
    /// The command is carried out, and completes twice.
    case duplicateCompletion
    /// The command is carried out and completes, but no interrupt tells of it.
    case loseInterrupt
    /// The controller gives up: `CSTS.CFS` is set, and nothing completes any more until a reset.
    case becomeFatal
    /// The controller resets itself, as by a function level reset from outside: the command, all others in flight, and
    /// all queues are gone, and `CC.EN` is 0.
    case resetController
    /// The controller is pulled out: see ``NVMeModel/remove(bus:)``.
    case remove

    // MARK: Of the controller

    /// `CC.EN` goes to 1, and `CSTS.RDY` stays 0.
    case staysDisabled
    /// `CC.EN` goes to 0, and `CSTS.RDY` stays 1.
    case staysReady
    /// `CSTS.SHST` tells for ever that the shutdown is under way.
    case neverShutsDown

    /// Which commands a fault befalls.
    public struct Match: Sendable, Hashable {
        /// The submission queue, 0 being the admin queue; `nil` for all of them.
        public var queue: Int?
        /// Whether admin or I/O queues alone; `nil` for both.
        public var isAdmin: Bool?
        public var opcode: UInt8?
        /// Commands of an I/O queue whose first block is one of these.
        public var blocks: Range<UInt64>?

        public init(
            queue: Int? = nil, isAdmin: Bool? = nil, opcode: UInt8? = nil, blocks: Range<UInt64>? = nil
        ) {
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
