/// The initialisation options of a controller.
public struct ControllerOptions: Sendable, Hashable {
    /// The number of I/O queues to request.
    public var queueCount = 16
    /// The time limit of a command, after which its queue throws `.timeout`.
    public var commandTimeout: Duration = .seconds(5)
    /// The time limit for the controller to become ready or to stop; `nil` for the value in register CAP.
    public var readyTimeout: Duration?
    /// The time limit for the controller to shut down.
    public var shutdownTimeout: Duration = .seconds(10)
    /// The wait of controllers with ``ControllerQuirks/delayBeforeReady``.
    var readyDelay = ControllerQuirks.readyDelay

    public init() {}
}
