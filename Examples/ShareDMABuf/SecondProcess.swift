import ExampleSupport
import Glibc
import SystemPackage

/// A second process that runs this program.
struct SecondProcess {
    /// The number of the inherited descriptor in that process.
    static let inheritedNumber: Int32 = 3
    private let id: pid_t

    /// Starts the process. It takes over the channel, which is closed in this process.
    init(_ arguments: [String], inheriting channel: Channel) throws {
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        // Also when both numbers are equal: dup2 clears close-on-exec, and only in the new process.
        unsafe posix_spawn_file_actions_adddup2(&actions, channel.descriptor.rawValue, Self.inheritedNumber)
        var words = unsafe ([CommandLine.arguments[0]] + arguments).map { unsafe strdup($0) } + [nil]
        defer { for index in unsafe words.indices { unsafe free(words[index]) } }
        var id: pid_t = 0
        let failure = unsafe posix_spawn(&id, "/proc/self/exe", &actions, nil, &words, environ)
        guard failure == 0 else { throw Errno(rawValue: failure) }
        self.id = id
        try channel.descriptor.close()
    }

    /// Waits until the process exits.
    func wait() throws {
        var status: Int32 = 0
        while unsafe waitpid(id, &status, 0) < 0 {
            guard errno == EINTR else { throw Errno(rawValue: errno) }
        }
        try Example.require(status == 0, "the second process failed")
    }
}
