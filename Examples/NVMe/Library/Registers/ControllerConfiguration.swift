/// The controller's configuration: register CC (NVM Express Base Specification 1.4, 3.1.5).
struct ControllerConfiguration: RawRepresentable, Sendable, Hashable {
    var rawValue: UInt32

    /// The NVM command set, round-robin arbitration, submission entries of 64 bytes and completion entries of 16.
    init(pageShift: Int) {
        rawValue = UInt32(pageShift - 12) << 7 | 6 << 16 | 4 << 20
    }

    init(rawValue: UInt32) { self.rawValue = rawValue }

    /// EN.
    var isEnabled: Bool {
        get { rawValue & 1 == 1 }
        set { rawValue = rawValue & ~1 | (newValue ? 1 : 0) }
    }

    /// With SHN at 01b: a normal shutdown is requested.
    var shuttingDown: ControllerConfiguration {
        ControllerConfiguration(rawValue: rawValue & ~(3 << 14) | 1 << 14)
    }
}
