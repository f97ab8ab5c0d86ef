/// The options of a port.
public struct PortOptions: Sendable, Hashable {
    /// The maximum number of entries of each queue. The actual number is limited by the device, and a power of two.
    public var queueSize: Int
    /// Whether the port can wait for packets with interrupts (MSI-X), or is only polled.
    public var usesInterrupts: Bool

    public init(queueSize: Int = 256, usesInterrupts: Bool = false) {
        precondition((1...32768).contains(queueSize), "a queue has 1 to 32768 entries")
        self.queueSize = queueSize
        self.usesInterrupts = usesInterrupts
    }
}
