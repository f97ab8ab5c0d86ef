public import VFIO

/// What went wrong between the driver and the controller, and what to do about it.
public enum NVMeError: Error, Sendable, Hashable {
    /// The library or the kernel refused something.
    case vfio(VFIOError)
    /// The controller ended a command with an error.
    case status(CommandStatus, command: String)
    /// Nothing came in time; `waitingFor` says what was awaited. For a command: ``QueuePair/recover()``.
    case timeout(waitingFor: String, limit: Duration)
    /// The controller did not answer one of the driver's own commands, and is sent no further ones until it has been reset:
    /// ``Controller/reset()``, or ``QueuePair/recover()``. Queues that are there go on until then.
    case adminTimeout(command: String, limit: Duration)
    /// The registers read as all ones: the device has been taken away.
    case gone
    /// The controller says that it cannot go on (CSTS.CFS). ``QueuePair/recover()`` resets it.
    case fatalStatus
    /// The controller has been reset since the queue was made, by another queue's owner or behind the driver's back.
    /// ``QueuePair/recover()`` makes the queue anew.
    case reset
    /// The controller has been closed, or an earlier recovery has failed, and there is nothing left to talk to.
    case closed
    /// The controller could not be stopped, and its DMA not be switched off: it may still reach for the memory of its queues
    /// and their commands. They stay in flight; their memory is not to be used for anything else.
    case notStopped(String)
    /// The memory of another device, which the data was in or was to go to, was revoked before the command ended: what has
    /// been moved is unknown, whatever status the controller gave. The mapping was `.revoked` then, and can be restored, or
    /// `.exporterClosed`, and cannot, or `.live`, since it had been restored meanwhile.
    case peerRevoked(CommandStatus, RevocationState, command: String)
    /// The controller lacks what the driver needs.
    case unsupported(String)
    /// The caller asked for something that can never work.
    case invalidArgument(String)
    /// The controller did what the specification does not allow.
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
