internal import CVFIOMock
import SystemPackage
import VFIO

/// The kernel's hold on an eventfd: it stays good when the process closes its own descriptor.
final class EventDescriptor {
    private let descriptor: FileDescriptor

    /// - Throws: `EBADF` for no descriptor, `EINVAL` for one that is no eventfd.
    init(_ number: Int32) throws(Errno) {
        let status = cmock_is_event(number)
        if status < 0 { throw Errno(rawValue: -status) }
        if status == 0 { throw .invalidArgument }
        descriptor = try HostKernel().duplicate(FileDescriptor(rawValue: number))
    }

    deinit { try? HostKernel().close(descriptor) }

    /// What tells this eventfd from others, whichever descriptor of it was given.
    var identity: Int64 { cmock_event_identity(descriptor.rawValue) }

    /// Adds one to the count.
    func signal() { _ = cmock_signal_event(descriptor.rawValue) }

    /// Takes the count, which is 0 when there was no signal.
    func take() -> UInt64 { cmock_take_event(descriptor.rawValue) }
}

/// What acts when an eventfd is signalled.
protocol EventWatcher: AnyObject {
    func serveEvents()
}
