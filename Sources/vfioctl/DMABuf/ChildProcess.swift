import Glibc
import SystemPackage
import VFIO

/// A program that this one runs and waits for.
enum ChildProcess {
    /// The number under which the program finds the descriptor: the first after the three that every program has.
    private static let handedNumber: Int32 = 3

    /// Runs a command that inherits one descriptor besides standard input, output and error.
    ///
    /// - Parameters:
    ///   - command: Its words, the first one looked up in `PATH`.
    ///   - descriptor: Stays the caller's.
    ///   - variable: The variable that tells the command the descriptor's number.
    /// - Returns: Its exit status; 128 + N when signal N ended it.
    static func run(_ command: [String], handing descriptor: FileDescriptor, by variable: String) throws -> Int32 {
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        // Onto itself too: that takes close-on-exec away, in the child alone.
        unsafe posix_spawn_file_actions_adddup2(&actions, descriptor.rawValue, handedNumber)
        unsafe setenv(variable, "\(handedNumber)", 1)
        var process: pid_t = 0
        var words = unsafe command.map { unsafe strdup($0) } + [nil]
        defer { for index in unsafe words.indices { unsafe free(words[index]) } }
        let error = unsafe posix_spawnp(&process, command[0], &actions, nil, &words, environ)
        guard error == 0 else { throw VFIOError(.kernel, "run the command", command[0], errno: Errno(rawValue: error)) }
        // Ctrl-C goes to both; the device is given back in order after the command has ended.
        signal(SIGINT, SIG_IGN)
        defer { signal(SIGINT, SIG_DFL) }
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
