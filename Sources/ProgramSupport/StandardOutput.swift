@unsafe @preconcurrency import Glibc
import Synchronization
import SystemPackage

/// What the program prints.
public enum StandardOutput {
    /// The errno of the last flush that failed, which forgets what it could not write.
    private static let failure = Atomic<Int32>(0)

    /// Writes what waits in the buffer, for programs that share their output with others.
    public static func flush() {
        if unsafe fflush(stdout) != 0 { failure.store(errno, ordering: .relaxed) }
    }

    /// Has the program fail at its end when something of what it printed is lost: on a full disk, for example.
    ///
    /// What is printed waits in a buffer, so that it is only known then; and however the program ends, it comes by here.
    /// To be called before any file is opened.
    public static func protect() {
        // The next file to be opened would get a closed one's number, and if that is a device, what is printed. In its
        // place comes one that fails.
        for number in STDIN_FILENO...STDERR_FILENO where fcntl(number, F_GETFD) < 0 {
            _ = unsafe open("/dev/null", number == STDIN_FILENO ? O_WRONLY : O_RDONLY)
        }
        atexit {
            StandardOutput.flush()
            let failure = StandardOutput.failure.load(ordering: .relaxed)
            guard unsafe failure != 0 || ferror(stdout) != 0 else { return }
            let name = CommandLine.arguments.first?.split(separator: "/").last ?? "the program"
            // An earlier write has failed, and the last one has not: nobody knows any more why.
            let reason = failure == 0 ? "a part of it is lost" : "\(Errno(rawValue: failure))"
            _ = try? FileDescriptor.standardError.writeAll(
                Array("\(name): the output could not be written: \(reason)\n".utf8))
            // Not `exit`, which has been called already.
            _exit(1)
        }
    }
}
