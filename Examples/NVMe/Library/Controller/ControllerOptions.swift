/// How a controller is to be brought up.
public struct ControllerOptions: Sendable, Hashable {
    /// How many I/O queues to ask the controller for.
    public var queueCount = 16
    /// How long a command may take before its queue throws `.timeout`.
    public var commandTimeout: Duration = .seconds(5)
    /// How long the controller may take to become ready or to stop; `nil` for what its register CAP says.
    public var readyTimeout: Duration?
    /// How long the controller may take to shut down.
    public var shutdownTimeout: Duration = .seconds(10)

    public init() {}
}
