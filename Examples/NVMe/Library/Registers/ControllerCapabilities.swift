/// The controller's capabilities: register CAP (NVM Express Base Specification 1.4, 3.1.1, and 2.0).
public struct ControllerCapabilities: RawRepresentable, Sendable, Hashable {
    public let rawValue: UInt64

    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// The maximum number of entries of a queue (MQES).
    public var maximumQueueEntryCount: Int { Int(rawValue & 0xffff) + 1 }
    /// The time limit for the controller to become ready, or to stop (TO).
    public var readyTimeout: Duration { .milliseconds(Int(rawValue >> 24 & 0xff) * 500) }
    /// The distance between doorbells in bytes (DSTRD).
    public var doorbellStride: Int { 4 << Int(rawValue >> 32 & 0xf) }
    /// Whether it has the NVM command set (CSS, bit 0).
    public var hasNVMCommandSet: Bool { rawValue >> 37 & 1 == 1 }
    /// Whether each of its namespaces has a command set of its own (CSS, bit 6).
    public var hasCommandSets: Bool { rawValue >> 43 & 1 == 1 }
    /// Whether it can be used without I/O commands (CSS, bit 7).
    public var hasAdminCommands: Bool { rawValue >> 44 & 1 == 1 }
    /// The time limit to become ready, of a controller whose register CRTO has this value, if it has one (CRMS, bit 0).
    ///
    /// The greater one of both registers, because there are controllers whose CRTO is too small or 0, and not less than
    /// one unit.
    func readyTimeout(crto: UInt32) -> Duration {
        let limit = rawValue >> 59 & 1 == 1 ? Duration.milliseconds(Int(crto & 0xffff) * 500) : .zero
        return max(readyTimeout, limit, .milliseconds(500))
    }
    /// The minimum memory page size in bytes (MPSMIN).
    public var minimumPageSize: Int { 4096 << Int(rawValue >> 48 & 0xf) }
    /// The maximum memory page size in bytes (MPSMAX).
    public var maximumPageSize: Int { 4096 << Int(rawValue >> 52 & 0xf) }
}
