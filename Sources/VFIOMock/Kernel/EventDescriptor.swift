internal import CVFIOMock
import SystemPackage
import VFIO

/// The kernel's reference to an eventfd, which outlives the descriptor of the process.
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

    /// The number of the eventfd, which all its descriptors share.
    var identity: Int64 { cmock_event_identity(descriptor.rawValue) }

    func signal() { _ = cmock_signal_event(descriptor.rawValue) }

    /// Resets the count and returns it; 0 without a signal.
    func take() -> UInt64 { cmock_take_event(descriptor.rawValue) }
}

protocol EventWatcher: AnyObject {
    func serveEvents()
}
