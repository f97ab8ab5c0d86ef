import ArgumentParser
import Glibc
import Synchronization
import SystemPackage
import VFIO

/// SIGHUP, SIGINT and SIGTERM while a command waits, so that it cleans up before it ends.
struct TerminationSignals: ~Copyable {
    private static let all = [SIGHUP, SIGINT, SIGTERM]
    /// The signal that has come; 0 before.
    private static let received = Atomic<Int32>(0)
    /// The eventfd that the handler writes to.
    private static let event = Atomic<Int32>(-1)
    private let event: FileDescriptor
    /// What was done at these signals before, and which were blocked.
    private let previous: [(number: Int32, action: sigaction)]
    private let blocked: sigset_t

    /// A signal that was ignored before stays so, as for a program that `nohup` has started.
    init() throws(VFIOError) {
        event = try attempt("wait for signals (eventfd)", "the process", HostKernel().makeEvent())
        Self.event.store(event.rawValue, ordering: .relaxed)
        var signals = sigset_t()
        unsafe sigemptyset(&signals)
        var action = sigaction()
        action.sa_flags = SA_RESTART
        unsafe action.__sigaction_handler.sa_handler = { number in
            TerminationSignals.received.store(number, ordering: .relaxed)
            var one: UInt64 = 1
            _ = unsafe write(TerminationSignals.event.load(ordering: .relaxed), &one, MemoryLayout<UInt64>.size)
        }
        var previous: [(number: Int32, action: sigaction)] = []
        for number in Self.all {
            var old = sigaction()
            unsafe sigaction(number, nil, &old)
            if unsafe unsafeBitCast(old.__sigaction_handler.sa_handler, to: Int.self)
                == unsafeBitCast(SIG_IGN, to: Int.self)
            {
                continue
            }
            unsafe sigaddset(&signals, number)
            unsafe sigaction(number, &action, nil)
            previous.append((number, old))
        }
        self.previous = previous
        // A program that was started by a thread that blocks them has inherited that.
        var blocked = sigset_t()
        unsafe pthread_sigmask(SIG_UNBLOCK, &signals, &blocked)
        self.blocked = blocked
    }

    deinit {
        var blocked = blocked
        unsafe pthread_sigmask(SIG_SETMASK, &blocked, nil)
        for (number, action) in previous {
            var action = action
            unsafe sigaction(number, &action, nil)
        }
        try? event.close()
    }

    private enum Source { case file, signal, device }

    /// Waits until a file is readable, or there is an event of a device, which is returned then.
    ///
    /// - Throws: The exit status of a program that a signal ends, 128 + N, when one of the signals comes first.
    func wait(for file: FileDescriptor, watching watch: borrowing DeviceWatch) throws -> DeviceEvent? {
        let events = try EventSet<Source>()
        try events.add(file, as: .file)
        try events.add(event, as: .signal)
        try events.add(watch, as: .device)
        while true {
            let sources = try events.wait()
            if sources.contains(.signal) { throw ExitCode(128 + Self.received.load(ordering: .relaxed)) }
            if sources.contains(.device), let event = try watch.poll() { return event }
            if sources.contains(.file) { return nil }
        }
    }
}
