import Glibc
import SystemPackage
import VFIO

/// A child process that the tool runs and waits for.
enum ChildProcess {
    /// The descriptor's number in the child: the first one after standard error.
    private static let handedNumber: Int32 = 3

    /// Runs a command that inherits one descriptor besides standard input, output and error.
    ///
    /// - Parameters:
    ///   - command: The command and its arguments; the command is looked up in `PATH`.
    ///   - descriptor: The descriptor to inherit. It stays owned by the caller.
    ///   - variable: The environment variable that holds the descriptor's number.
    /// - Returns: The exit status; 128 + N when signal N terminated the command.
    static func run(_ command: [String], handing descriptor: FileDescriptor, by variable: String) throws -> Int32 {
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        // Also when both numbers are equal: dup2 clears close-on-exec, and only in the child.
        unsafe posix_spawn_file_actions_adddup2(&actions, descriptor.rawValue, handedNumber)
        unsafe setenv(variable, "\(handedNumber)", 1)
        var process: pid_t = 0
        var words = unsafe command.map { unsafe strdup($0) } + [nil]
        defer { for index in unsafe words.indices { unsafe free(words[index]) } }
        let error = unsafe posix_spawnp(&process, command[0], &actions, nil, &words, environ)
        guard error == 0 else { throw VFIOError(.kernel, "run the command", command[0], errno: Errno(rawValue: error)) }
        // Ctrl-C is sent to both processes; this one ignores it so that it can close the device after the command
        // has ended.
        var ignoring = sigaction()
        unsafe ignoring.__sigaction_handler.sa_handler = SIG_IGN
        var previous = sigaction()
        unsafe sigaction(SIGINT, &ignoring, &previous)
        defer { unsafe sigaction(SIGINT, &previous, nil) }
        var status: Int32 = 0
        while unsafe waitpid(process, &status, 0) < 0 {
            guard errno == EINTR else {
                throw VFIOError(.kernel, "wait for the command", command[0], errno: Errno(rawValue: errno))
            }
        }
        let ending = status & 0x7f
        return ending == 0 ? (status >> 8) & 0xff : 128 + ending
    }
}
