/// How a port is set up.
public struct PortOptions: Sendable, Hashable {
    /// The most entries that each queue is to have. It has as many as the device lets it, and a power of two.
    public var queueSize: Int
    /// Whether the port can wait for packets (MSI-X), or is only polled.
    public var usesInterrupts: Bool

    public init(queueSize: Int = 256, usesInterrupts: Bool = false) {
        precondition((1...32768).contains(queueSize), "a queue has 1 to 32768 entries")
        self.queueSize = queueSize
        self.usesInterrupts = usesInterrupts
    }
}
