import ExampleSupport
import Glibc
import ProgramSupport
import SystemPackage

/// One end of a Unix socket: what dma-bufs go through, and what keeps the two sides in step.
struct Channel: Sendable {
    let descriptor: FileDescriptor

    init(_ descriptor: FileDescriptor) { self.descriptor = descriptor }

    /// Two ends that are connected with each other.
    static func makePair() throws(Errno) -> (Channel, Channel) {
        var ends: [Int32] = [-1, -1]
        guard unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
            throw Errno(rawValue: errno)
        }
        return (Channel(FileDescriptor(rawValue: ends[0])), Channel(FileDescriptor(rawValue: ends[1])))
    }

    /// Lets the other side go on.
    func signal() throws { try descriptor.writeAll([1]) }

    /// Waits until the other side lets this one go on.
    func wait() throws {
        var byte: [UInt8] = [0]
        guard try unsafe byte.withUnsafeMutableBytes({ try unsafe descriptor.read(into: $0) }) == 1 else {
            throw Errno.connectionReset
        }
    }

    /// Prints at once, since the other side prints to the same place.
    func say(_ sentence: String) {
        print(sentence)
        StandardOutput.flush()
    }
}
