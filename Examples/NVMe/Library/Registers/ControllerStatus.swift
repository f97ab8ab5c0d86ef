/// How the controller fares: its register CSTS (NVM Express Base Specification 1.4, 3.1.6).
struct ControllerStatus: RawRepresentable, Sendable, Hashable {
    let rawValue: UInt32

    /// RDY.
    var isReady: Bool { rawValue & 1 == 1 }
    /// CFS: an error that the controller cannot tell in a completion. Only a reset helps.
    var isFatal: Bool { rawValue & 2 == 2 }
    /// SHST is 10b: the shutdown is done.
    var isShutDown: Bool { rawValue >> 2 & 3 == 2 }
    /// All ones: what a bus answers where there is no device any more. The reserved bits of a present one are zero.
    var isGone: Bool { rawValue == .max }
}
