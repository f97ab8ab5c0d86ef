import ExampleSupport
import Glibc
import ProgramSupport
import SystemPackage

/// One end of a Unix socket, which transfers dma-bufs and synchronises the two sides.
struct Channel: Sendable {
    let descriptor: FileDescriptor

    init(_ descriptor: FileDescriptor) { self.descriptor = descriptor }

    /// Returns two connected ends.
    static func makePair() throws(Errno) -> (Channel, Channel) {
        var ends: [Int32] = [-1, -1]
        guard unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
            throw Errno(rawValue: errno)
        }
        return (Channel(FileDescriptor(rawValue: ends[0])), Channel(FileDescriptor(rawValue: ends[1])))
    }

    /// Signals the other side to continue.
    func signal() throws { try descriptor.writeAll([1]) }

    /// Waits for a signal of the other side.
    func wait() throws {
        var byte: [UInt8] = [0]
        guard try unsafe byte.withUnsafeMutableBytes({ try unsafe descriptor.read(into: $0) }) == 1 else {
            throw Errno.connectionReset
        }
    }

    /// Prints and flushes, because both sides print to the same output.
    func say(_ sentence: String) {
        print(sentence)
        StandardOutput.flush()
    }
}
