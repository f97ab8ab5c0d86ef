/// The controller's capabilities: register CAP (NVM Express Base Specification 1.4, 3.1.1).
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
    /// The minimum memory page size in bytes (MPSMIN).
    public var minimumPageSize: Int { 4096 << Int(rawValue >> 48 & 0xf) }
    /// The maximum memory page size in bytes (MPSMAX).
    public var maximumPageSize: Int { 4096 << Int(rawValue >> 52 & 0xf) }
}
