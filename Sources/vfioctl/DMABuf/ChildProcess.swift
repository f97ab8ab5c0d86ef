import Dispatch
import Glibc
import Synchronization
import SystemPackage
import VFIO

/// A child process that the tool runs and waits for.
struct ChildProcess: ~Copyable {
    /// The descriptor's number in the child: the first one after standard error.
    private static let handedNumber: Int32 = 3

    private enum Source { case child, device }

    /// What `waitpid` gave, and the event that is raised then.
    private final class Ending: Sendable {
        let event: FileDescriptor
        let result = Atomic<Int>(0)

        init() throws(VFIOError) {
            event = try attempt("wait for the command (eventfd)", "the process", HostKernel().makeEvent())
        }

        deinit { try? event.close() }
    }

    private let name: String
    private let ending: Ending
    /// What SIGINT did before. A program that was started in the background has it ignored.
    private let previousHandler: (@convention(c) (Int32) -> Void)?

    /// Starts a command that inherits one descriptor besides standard input, output and error.
    ///
    /// Ctrl-C is sent to both processes; this one ignores it until the command has ended, so that it can close the device
    /// then.
    ///
    /// - Parameters:
    ///   - command: The command and its arguments; the command is looked up in `PATH`.
    ///   - descriptor: The descriptor to inherit. It stays owned by the caller.
    ///   - variable: The environment variable that holds the descriptor's number.
    init(_ command: [String], handing descriptor: FileDescriptor, by variable: String) throws {
        let ending = try Ending()
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        // Also when both numbers are equal: dup2 clears close-on-exec, and only in the child.
        unsafe posix_spawn_file_actions_adddup2(&actions, descriptor.rawValue, Self.handedNumber)
        unsafe setenv(variable, "\(Self.handedNumber)", 1)
        var process: pid_t = 0
        var words = unsafe command.map { unsafe strdup($0) } + [nil]
        defer { for index in unsafe words.indices { unsafe free(words[index]) } }
        let error = unsafe posix_spawnp(&process, command[0], &actions, nil, &words, environ)
        guard error == 0 else { throw VFIOError(.kernel, "run the command", command[0], errno: Errno(rawValue: error)) }
        self.ending = ending
        name = command[0]
        previousHandler = signal(SIGINT, SIG_IGN)
        // On a thread of its own, so that the device can be watched meanwhile.
        DispatchQueue(label: "waitpid").async { [process] in
            var status: Int32 = 0
            var result: pid_t
            repeat { result = unsafe waitpid(process, &status, 0) } while result < 0 && errno == EINTR
            ending.result.store(result < 0 ? -Int(errno) : Int(status), ordering: .releasing)
            var one: UInt64 = 1
            _ = unsafe write(ending.event.rawValue, &one, MemoryLayout<UInt64>.size)
        }
    }

    deinit { signal(SIGINT, previousHandler) }

    /// Waits until the command ends, or there is an event of a device, which is returned then.
    func wait(watching watch: borrowing DeviceWatch) throws(VFIOError) -> DeviceEvent? {
        let events = try EventSet<Source>()
        try events.add(ending.event, as: .child)
        try events.add(watch, as: .device)
        while true {
            let sources = try events.wait()
            if sources.contains(.child) { return nil }
            if let event = try watch.poll() { return event }
        }
    }

    /// Waits until the command ends.
    ///
    /// - Returns: The exit status; 128 + N when signal N terminated the command.
    func exitStatus() throws(VFIOError) -> Int32 {
        _ = try attempt("wait for the command", name, HostKernel().waitUntilReadable(ending.event, until: nil))
        let result = ending.result.load(ordering: .acquiring)
        guard result >= 0 else {
            throw VFIOError(.kernel, "wait for the command", name, errno: Errno(rawValue: Int32(-result)))
        }
        let signal = result & 0x7f
        return Int32(signal == 0 ? (result >> 8) & 0xff : 128 + signal)
    }
}
