internal import CVFIO
public import SystemPackage

/// A dma-buf: memory of one device that others may be given, with a lifetime that the kernel controls.
///
/// ```swift
/// let window = try gpu.exportDMABuf(of: .bar2, 0..<65536)
/// let peer = try space.map(window)         // peer.iova is where the devices of `space` reach it
/// ```
///
/// The kernel revokes the access of every importer when the exporting device is reset, enters D3hot, loses its memory
/// decode, or is closed. The dma-buf does not keep its device open.
public struct DMABuf: ~Copyable, Sendable {
    /// The length in bytes: of all ranges together, one after the other.
    public let byteCount: UInt64
    /// What was exported, for errors.
    let subject: String
    /// What it was exported for; `nil` for a dma-buf that came from elsewhere.
    let access: DMAAccess?
    /// How many ranges it is made of; `nil` for a dma-buf that came from elsewhere.
    let rangeCount: Int?
    /// The exporter's; `nil` for a dma-buf that came from elsewhere.
    let revocation: RevocationTracker?
    let kernel: any Kernel
    private let file: OwnedDescriptor

    /// Takes a dma-buf that came from elsewhere: another process, or another library.
    ///
    /// Its exporter is not known here, so the library cannot see its revocations: ``state`` stays `.live` for as long as
    /// nothing says otherwise.
    ///
    /// - Parameters:
    ///   - descriptor: Becomes the library's, which closes it, also when this throws.
    ///   - kernel: Who answers the system calls.
    public init(adopting descriptor: FileDescriptor, kernel: any Kernel = HostKernel()) throws(VFIOError) {
        try self.init(
            OwnedDescriptor(descriptor, of: kernel), subject: "a dma-buf from elsewhere", access: nil,
            rangeCount: nil, revocation: nil)
    }

    init(
        _ file: consuming OwnedDescriptor, subject: String, access: DMAAccess?, rangeCount: Int?,
        revocation: RevocationTracker?
    ) throws(VFIOError) {
        kernel = file.kernel
        do throws(Errno) {
            byteCount = try file.kernel.size(of: file.descriptor)
        } catch {
            throw VFIOError(.kernel, "ask for the size of the dma-buf (lseek)", subject, errno: error)
        }
        self.subject = subject
        self.access = access
        self.rangeCount = rangeCount
        self.revocation = revocation
        self.file = file
    }

    var descriptor: FileDescriptor { file.descriptor }

    /// Whether the dma-buf can be mapped now, as far as this process knows.
    ///
    /// Once the exporter's memory answers again after a reset or a memory decode off, the *dma-buf* is live again; a
    /// mapping that was made before is not (``PeerMapping/state``).
    public var state: RevocationState {
        guard let revocation = revocation?.current else { return .live }
        if revocation.isClosed { return .dead }
        return revocation.isMemoryOn ? .live : .revoked
    }

    /// Whether ``state`` follows the exporter, which it does when the dma-buf was exported by this process.
    public var isRevocationTracked: Bool { revocation != nil }

    // MARK: What a dma-buf can do

    /// Gives the dma-buf a name, which shows in `/proc/PID/fdinfo` and in debugfs (`DMA_BUF_SET_NAME`).
    ///
    /// - Parameter name: At most 31 bytes of UTF-8, without a zero.
    public func setName(_ name: String) throws(VFIOError) {
        let operation = "name the dma-buf (DMA_BUF_SET_NAME)"
        let text = Array(name.utf8)
        guard text.count < Int(CDMA_BUF_NAME_LEN), !text.contains(0) else {
            throw VFIOError(
                .invalidArgument, operation, subject,
                hint: "a name has at most \(CDMA_BUF_NAME_LEN - 1) bytes and no zero among them")
        }
        let buffer = RequestBuffer(byteCount: text.count + 1)
        for (offset, byte) in text.enumerated() { buffer.store(byte, at: offset) }
        do throws(Errno) {
            _ = try kernel.control(descriptor, CDMA_BUF_SET_NAME, with: buffer)
        } catch {
            throw VFIOError(.kernel, operation, subject, errno: error)
        }
    }

    /// Begins a time in which the CPU uses the memory, and waits for the devices that use it (`DMA_BUF_IOCTL_SYNC`).
    public func beginCPUAccess(_ access: DMAAccess) throws(VFIOError) {
        try sync(CDMA_BUF_SYNC_START, access)
    }

    /// Ends a time in which the CPU used the memory.
    public func endCPUAccess(_ access: DMAAccess) throws(VFIOError) {
        try sync(CDMA_BUF_SYNC_END, access)
    }

    private func sync(_ step: UInt64, _ access: DMAAccess) throws(VFIOError) {
        var request = cdma_buf_sync()
        request.flags = step
        if access.contains(.read) { request.flags |= CDMA_BUF_SYNC_READ }
        if access.contains(.write) { request.flags |= CDMA_BUF_SYNC_WRITE }
        do throws(Errno) {
            _ = try kernel.control(descriptor, CDMA_BUF_IOCTL_SYNC, with: &request)
        } catch {
            throw VFIOError(.kernel, "synchronize the dma-buf (DMA_BUF_IOCTL_SYNC)", subject, errno: error)
        }
    }

    // MARK: For others

    /// Lends the descriptor, for another importer's interface such as RDMA or DRM. It stays the library's.
    public func withFileDescriptor<Result: ~Copyable, Failure: Error>(
        _ body: (FileDescriptor) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(descriptor)
    }

    /// Another descriptor of the same dma-buf, which the caller closes.
    public func duplicateDescriptor() throws(VFIOError) -> FileDescriptor {
        do throws(Errno) {
            return try kernel.duplicate(descriptor)
        } catch {
            throw VFIOError(.kernel, "duplicate the dma-buf's descriptor", subject, errno: error)
        }
    }

    /// Sends the dma-buf to another process (`SCM_RIGHTS`). This one keeps its own.
    ///
    /// - Parameter socket: A connected Unix socket, which stays the caller's.
    public func send(over socket: FileDescriptor) throws(VFIOError) {
        do throws(Errno) {
            try kernel.send(descriptor, over: socket)
        } catch {
            throw VFIOError(.kernel, "send the dma-buf (sendmsg)", subject, errno: error)
        }
    }

    /// Receives a dma-buf from another process.
    ///
    /// - Parameters:
    ///   - socket: A connected Unix socket, which stays the caller's.
    ///   - kernel: Who answers the system calls.
    /// - Throws: `.unexpectedAnswer` when a message came without a descriptor.
    public static func receive(
        from socket: FileDescriptor, kernel: any Kernel = HostKernel()
    ) throws(VFIOError) -> DMABuf {
        let received: FileDescriptor
        do throws(Errno) {
            received = try kernel.receiveDescriptor(from: socket)
        } catch {
            throw VFIOError(
                error == .noMessage ? .unexpectedAnswer : .kernel, "receive a dma-buf (recvmsg)",
                "socket \(socket.rawValue)", errno: error,
                hint: error == .noMessage ? "the message carried no descriptor" : nil)
        }
        return try DMABuf(adopting: received, kernel: kernel)
    }

    /// Closes this process's descriptor. Mappings that were made of the dma-buf stay.
    public consuming func close() throws(VFIOError) {
        let subject = subject
        do throws(Errno) {
            try file.close()
        } catch {
            throw VFIOError(.kernel, "close the dma-buf", subject, errno: error)
        }
    }
}
