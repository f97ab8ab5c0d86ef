public import VFIO

/// An error of the driver or the controller.
public enum NVMeError: Error, Sendable, Hashable {
    /// An error of the library or the kernel.
    case vfio(VFIOError)
    /// The controller completed a command with an error.
    case status(CommandStatus, command: String)
    /// A time limit was exceeded; `waitingFor` is the awaited event. For a command, call ``QueuePair/recover()``.
    case timeout(waitingFor: String, limit: Duration)
    /// The controller did not complete one of the driver's own commands. No further ones are sent until it has been
    /// reset by ``Controller/reset()`` or ``QueuePair/recover()``. Existing queues continue until then.
    case adminTimeout(command: String, limit: Duration)
    /// The registers read as all ones: the device has been removed.
    case gone
    /// The controller reports a fatal error (CSTS.CFS). ``QueuePair/recover()`` resets it.
    case fatalStatus
    /// The controller has been reset since the queue was made, by the owner of another queue or outside of the driver.
    /// ``QueuePair/recover()`` creates the queue again.
    case reset
    /// The controller has been closed, or an earlier recovery has failed.
    case closed
    /// The controller could not be stopped, and its DMA could not be disabled: it may still access the memory of its
    /// queues and their commands. The commands stay in flight; their memory must not be used for anything else.
    case notStopped(String)
    /// The memory of another device that the data was transferred to or from was revoked before the command completed.
    /// The result of the transfer is unknown, regardless of the controller's status. The state is that of the mapping:
    /// `.revoked`, which can be restored; `.exporterClosed`, which cannot; or `.live`, if it has been restored
    /// meanwhile.
    case peerRevoked(CommandStatus, RevocationState, command: String)
    /// The controller lacks a feature that the driver needs.
    case unsupported(String)
    /// The caller's request is invalid.
    case invalidArgument(String)
    /// The controller violated the specification.
    case protocolViolation(String)
}

extension NVMeError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .vfio(let error): "\(error)"
        case .status(let status, let command): "\(command) failed: \(status)\(Self.advice(on: status))"
        case .timeout(let subject, let limit):
            "no sign of \(subject) in \(limit): recover() resets the controller and makes the queue anew"
        case .adminTimeout(let command, let limit):
            "no answer to \(command) in \(limit): the controller takes no further commands of the driver's until "
                + "Controller.reset() or QueuePair.recover(), after which all of its queues have to recover"
        case .gone:
            "the controller is gone: its registers read as all ones; close it, and open it when it has come back"
        case .fatalStatus:
            "the controller reports a fatal status (CSTS.CFS): recover() resets it and makes the queue anew"
        case .reset: "the controller has been reset since the queue was made: recover() makes the queue anew"
        case .closed: "the controller is closed, or could not be brought up again: open it anew"
        case .notStopped(let why):
            "the controller could not be stopped, and may still reach for memory: \(why); close everything, and keep the "
                + "memory of its commands until then"
        case .peerRevoked(let status, .live, let command):
            "\(command) failed: the memory of the other device was revoked and restored meanwhile, and the data may be "
                + "lost, though the controller says: \(status); send the command again"
        case .peerRevoked(let status, let state, let command):
            "\(command) failed: the memory of the other device was revoked, and the data is lost, though the controller "
                + "says: \(status); \(Self.advice(on: state)), and send the command again"
        case .unsupported(let what): "the controller does not do: \(what)"
        case .invalidArgument(let what): "\(what)"
        case .protocolViolation(let what): "the controller broke the protocol: \(what); recover() resets it"
        }
    }

    private static func advice(on state: RevocationState) -> String {
        switch state {
        case .live, .revoked: "restore() the mapping"
        case .exporterClosed: "its device was closed, so open it, export its memory and map it anew"
        }
    }

    private static func advice(on status: CommandStatus) -> String {
        if status.matches(.dataTransferError) {
            return ": the controller could not reach the data; is it still mapped, and was its dma-buf revoked?"
        }
        if status.matches(.blockOutOfRange) { return ": the namespace's blockCount tells where it ends" }
        if status.matches(.aborted) {
            return ": a reset ended it; whether it was carried out is not known, so send it again"
        }
        return ""
    }
}
