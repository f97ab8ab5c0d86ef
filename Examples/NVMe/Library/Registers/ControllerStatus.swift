/// The controller's status: register CSTS (NVM Express Base Specification 1.4, 3.1.6).
struct ControllerStatus: RawRepresentable, Sendable, Hashable {
    let rawValue: UInt32

    /// RDY.
    var isReady: Bool { rawValue & 1 == 1 }
    /// CFS: a fatal error that cannot be reported in a completion. Only a reset clears it.
    var isFatal: Bool { rawValue & 2 == 2 }
    /// SHST is 10b: the shutdown is complete.
    var isShutDown: Bool { rawValue >> 2 & 3 == 2 }
    /// All ones: the device has been removed. A present device has zeros in the reserved bits.
    var isGone: Bool { rawValue == .max }
}
