internal import Glibc

/// Makes a pipe readable while there is something to be read elsewhere, so that `poll` and `epoll` work as in Linux.
final class Readiness {
    private var reader: Int32 = -1
    private var writer: Int32 = -1
    private var isSignalled = false

    /// The process has the descriptor, which holds the object.
    private(set) var isOpen = false

    func open(reader: Int32, writer: Int32) {
        self.reader = reader
        self.writer = writer
        isOpen = true
    }

    /// The process has closed its descriptor.
    func close() {
        isOpen = false
        if writer >= 0 { _ = Glibc.close(writer) }
        writer = -1
    }

    deinit { close() }

    func set(_ isReadable: Bool) {
        guard isOpen, isReadable != isSignalled else { return }
        isSignalled = isReadable
        var byte: UInt8 = 0
        // One byte always fits, and is there to be taken.
        if isReadable {
            _ = unsafe Glibc.write(writer, &byte, 1)
        } else {
            _ = unsafe Glibc.read(reader, &byte, 1)
        }
    }
}
