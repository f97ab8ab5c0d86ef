@unsafe @preconcurrency import Glibc
import Synchronization
import SystemPackage

/// Helpers for standard output.
public enum StandardOutput {
    /// The errno of the last failed flush, which discards the data that it could not write.
    private static let failure = Atomic<Int32>(0)

    /// Flushes the buffer, for programs that share their output with other processes.
    public static func flush() {
        if unsafe fflush(stdout) != 0 { failure.store(errno, ordering: .relaxed) }
    }

    /// Makes the program exit with an error if output was lost, for example because a disk is full.
    ///
    /// Output is buffered, so the error may only be known at exit; the check is an `atexit` handler. Call it before any
    /// file is opened.
    public static func protect() {
        // If standard output is closed, the next opened file would get its number and receive the output, even if it
        // is a device. Open a file there for which writes fail.
        for number in STDIN_FILENO...STDERR_FILENO where fcntl(number, F_GETFD) < 0 {
            _ = unsafe open("/dev/null", number == STDIN_FILENO ? O_WRONLY : O_RDONLY)
        }
        atexit {
            StandardOutput.flush()
            let failure = StandardOutput.failure.load(ordering: .relaxed)
            guard unsafe failure != 0 || ferror(stdout) != 0 else { return }
            let name = CommandLine.arguments.first?.split(separator: "/").last ?? "the program"
            // An earlier write failed and the last one did not, so the errno is lost.
            let reason = failure == 0 ? "a part of it is lost" : "\(Errno(rawValue: failure))"
            _ = try? FileDescriptor.standardError.writeAll(
                Array("\(name): the output could not be written: \(reason)\n".utf8))
            // `_exit`, because `exit` is already running.
            _exit(1)
        }
    }
}
