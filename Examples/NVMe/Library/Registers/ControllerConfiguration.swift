/// The controller's configuration: register CC (NVM Express Base Specification 1.4, 3.1.5).
struct ControllerConfiguration: RawRepresentable, Sendable, Hashable {
    var rawValue: UInt32

    /// The commands of the I/O queues (CSS).
    enum CommandSet: UInt32, Sendable {
        /// The NVM command set.
        case nvm = 0
        /// The command set of each namespace.
        case ofNamespaces = 6
        /// No I/O queues.
        case none = 7

        /// Chosen as by Linux's driver, which is what controllers are tested with. There are early controllers that tell
        /// no command set, and have the first.
        init(_ capabilities: ControllerCapabilities) {
            self =
                if capabilities.hasCommandSets {
                    .ofNamespaces
                } else if capabilities.hasAdminCommands && !capabilities.hasNVMCommandSet {
                    .none
                } else {
                    .nvm
                }
        }
    }

    /// Round-robin arbitration, submission entries of 64 bytes and completion entries of 16.
    init(pageShift: Int, _ commandSet: CommandSet) {
        rawValue = UInt32(pageShift - 12) << 7 | commandSet.rawValue << 4 | 6 << 16 | 4 << 20
    }

    init(rawValue: UInt32) { self.rawValue = rawValue }

    /// EN.
    var isEnabled: Bool {
        get { rawValue & 1 == 1 }
        set { rawValue = rawValue & ~1 | (newValue ? 1 : 0) }
    }

    /// With EN and SHN at 0: the controller is to be reset.
    var disabled: ControllerConfiguration { ControllerConfiguration(rawValue: rawValue & ~(3 << 14 | 1)) }

    /// With SHN at 01b: a normal shutdown is requested.
    var shuttingDown: ControllerConfiguration {
        ControllerConfiguration(rawValue: rawValue & ~(3 << 14) | 1 << 14)
    }
}
