internal import Glibc

/// A pipe that is readable while a queue has entries, so that `poll` and `epoll` work.
final class Readiness {
    private var reader: Int32 = -1
    private var writer: Int32 = -1
    private var isSignalled = false

    /// Whether the process has a descriptor of it.
    private(set) var isOpen = false

    func open(reader: Int32, writer: Int32) {
        self.reader = reader
        self.writer = writer
        isOpen = true
    }

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
        // Neither call can block: the pipe holds one byte or none.
        if isReadable {
            _ = unsafe Glibc.write(writer, &byte, 1)
        } else {
            _ = unsafe Glibc.read(reader, &byte, 1)
        }
    }
}
