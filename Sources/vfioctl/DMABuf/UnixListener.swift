import Glibc
import SystemPackage
import VFIO

/// Transfers a dma-buf between programs over a Unix socket with a path.
enum UnixListener {
    /// Waits for one connection, sends the dma-buf, and waits until the peer closes the connection. The socket's file is
    /// removed also when a signal ends the waiting.
    ///
    /// - Returns: The event of the device that ended the waiting, if one did.
    static func send(
        _ window: borrowing DMABuf, over path: String, watching watch: borrowing DeviceWatch
    ) throws -> DeviceEvent? {
        let signals = try TerminationSignals()
        let listener = try makeSocket(path)
        defer { try? listener.close() }
        try unsafe withAddress(path) { address, length in
            guard unsafe bind(listener.rawValue, address, length) == 0, listen(listener.rawValue, 1) == 0 else {
                throw failure(
                    "listen on the socket", path,
                    hint: errno == EADDRINUSE ? "a process listens there, or a file was left behind: rm \(path)" : nil)
            }
        }
        defer { unsafe unlink(path) }
        if let event = try signals.wait(for: listener, watching: watch) { return event }
        let connection = accept(listener.rawValue, nil, nil)
        guard connection >= 0, fcntl(connection, F_SETFD, FD_CLOEXEC) == 0 else {
            throw failure("accept a connection on the socket", path)
        }
        let peer = FileDescriptor(rawValue: connection)
        defer { try? peer.close() }
        try window.send(over: peer)
        var byte: UInt8 = 0
        repeat {
            if let event = try signals.wait(for: peer, watching: watch) { return event }
        } while unsafe recv(connection, &byte, 1, 0) > 0
        return nil
    }

    /// Connects and receives a dma-buf. The connection stays open until this program exits; its end tells the sender
    /// that the memory is no longer needed.
    static func receive(from path: String) throws -> DMABuf {
        let socket = try makeSocket(path)
        try unsafe withAddress(path) { address, length in
            guard unsafe connect(socket.rawValue, address, length) == 0 else {
                throw failure("connect to the socket", path)
            }
        }
        return try DMABuf.receive(from: socket)
    }

    private static func makeSocket(_ path: String) throws -> FileDescriptor {
        let socket = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { throw failure("make a socket", path) }
        return FileDescriptor(rawValue: socket)
    }

    private static func withAddress(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) throws -> Void) throws
    {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let room = MemoryLayout.size(ofValue: address.sun_path)
        guard path.utf8.count < room else {
            throw VFIOError(
                .invalidArgument, "use the socket", path, hint: "a path of a socket has at most \(room - 1) bytes")
        }
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: path.utf8) }
        try unsafe withUnsafePointer(to: address) { pointer in
            try unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                try unsafe body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }

    private static func failure(_ operation: String, _ path: String, hint: String? = nil) -> VFIOError {
        VFIOError(.kernel, operation, path, errno: Errno(rawValue: errno), hint: hint)
    }
}
