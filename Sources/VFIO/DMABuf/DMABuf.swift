public import SystemPackage

/// A dma-buf: memory of one device that others can access, with a lifetime that the kernel controls.
///
/// ```swift
/// let window = try gpu.exportDMABuf(of: .bar2, 0..<65536)
/// let peer = try space.map(window)         // peer.iova is where the devices of `space` reach it
/// ```
///
/// The kernel revokes the access of every importer when the exporting device is reset, enters D3hot, loses its memory
/// decode, or is closed. The dma-buf does not keep its device open.
public struct DMABuf: ~Copyable, Sendable {
    /// The length in bytes: the sum of all ranges.
    public let byteCount: UInt64
    /// What was exported, for errors.
    let subject: String
    /// The access that it was exported with; `nil` for an adopted dma-buf.
    let access: DMAAccess?
    /// The number of its ranges; `nil` for an adopted dma-buf.
    let rangeCount: Int?
    /// The offset of its first byte in the exported BAR, which is aligned to its size; 0 for an adopted dma-buf.
    let start: UInt64
    /// The exporter's tracker; `nil` for an adopted dma-buf.
    let revocation: RevocationTracker?
    let kernel: any Kernel
    private let file: OwnedDescriptor

    /// Adopts a dma-buf of another process or library.
    ///
    /// The library does not know its exporter and cannot see its revocations: ``state`` stays `.live` unless an
    /// operation reports otherwise.
    ///
    /// - Parameters:
    ///   - descriptor: The library takes ownership and closes it, also if this throws.
    ///   - kernel: The kernel that makes the system calls.
    public init(adopting descriptor: FileDescriptor, kernel: any Kernel = HostKernel()) throws(VFIOError) {
        try self.init(
            OwnedDescriptor(descriptor, of: kernel), subject: "a dma-buf from elsewhere", access: nil,
            rangeCount: nil, revocation: nil)
    }

    init(
        _ file: consuming OwnedDescriptor, subject: String, access: DMAAccess?, rangeCount: Int?,
        start: UInt64 = 0, revocation: RevocationTracker?
    ) throws(VFIOError) {
        kernel = file.kernel
        byteCount = try attempt(
            "ask for the size of the dma-buf (lseek)", subject, file.kernel.size(of: file.descriptor))
        self.subject = subject
        self.access = access
        self.rangeCount = rangeCount
        self.start = start
        self.revocation = revocation
        self.file = file
    }

    var descriptor: FileDescriptor { file.descriptor }

    /// Whether the dma-buf can be mapped now, as far as this process knows.
    ///
    /// When the exporter's memory responds again after a reset or a memory decode off, the *dma-buf* is live again; an
    /// earlier mapping is not (``PeerMapping/state``).
    public var state: RevocationState {
        guard let revocation = revocation?.current else { return .live }
        if revocation.isClosed { return .exporterClosed }
        return revocation.isMemoryOn ? .live : .revoked
    }

    /// Whether ``state`` follows the exporter, which is the case if this process exported the dma-buf.
    public var isRevocationTracked: Bool { revocation != nil }

    // MARK: Operations

    /// Sets the dma-buf's name, which `/proc/PID/fdinfo` and debugfs show.
    /// The corresponding request is `DMA_BUF_SET_NAME`.
    ///
    /// - Parameter name: At most 31 bytes of UTF-8, without a zero.
    public func setName(_ name: String) throws(VFIOError) {
        let words = "name the dma-buf"
        guard name.utf8.count <= ABI.longestDMABufName, !name.utf8.contains(0) else {
            throw VFIOError(
                .invalidArgument, ABI.Call.setDMABufName.operation(words), subject,
                hint: "a name has at most \(ABI.longestDMABufName) bytes and no zero among them")
        }
        try ABI.setDMABufName(name).perform(on: file, words, subject)
    }

    /// Starts CPU access to the memory, and waits for the devices that use it.
    /// The corresponding request is `DMA_BUF_IOCTL_SYNC`.
    public func beginCPUAccess(_ access: DMAAccess) throws(VFIOError) {
        try sync(access, isEnd: false)
    }

    /// Ends CPU access to the memory. The corresponding request is `DMA_BUF_IOCTL_SYNC`.
    public func endCPUAccess(_ access: DMAAccess) throws(VFIOError) {
        try sync(access, isEnd: true)
    }

    private func sync(_ access: DMAAccess, isEnd: Bool) throws(VFIOError) {
        try ABI.syncDMABuf(isEnd: isEnd, isRead: access.contains(.read), isWritten: access.contains(.write)).perform(
            on: file, "synchronize the dma-buf", subject)
    }

    // MARK: Sharing

    /// Gives access to the descriptor, for another importer's interface such as RDMA or DRM. The library still owns it.
    public func withFileDescriptor<Result: ~Copyable, Failure: Error>(
        _ body: (FileDescriptor) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(descriptor)
    }

    /// Returns another descriptor of the same dma-buf, which the caller must close.
    public func duplicateDescriptor() throws(VFIOError) -> FileDescriptor {
        try attempt("duplicate the dma-buf's descriptor", subject, kernel.duplicate(descriptor))
    }

    /// Sends the dma-buf to another process (`SCM_RIGHTS`). This process keeps its descriptor.
    ///
    /// - Parameter socket: A connected Unix socket, which the caller still owns.
    public func send(over socket: FileDescriptor) throws(VFIOError) {
        try attempt("send the dma-buf (sendmsg)", subject, kernel.send(descriptor, over: socket))
    }

    /// Receives a dma-buf from another process.
    ///
    /// - Parameters:
    ///   - socket: A connected Unix socket, which the caller still owns.
    ///   - kernel: The kernel that makes the system calls.
    /// - Throws: `.unexpectedAnswer` if a message carries no descriptor.
    public static func receive(
        from socket: FileDescriptor, kernel: any Kernel = HostKernel()
    ) throws(VFIOError) -> DMABuf {
        let received = try attempt(
            "receive a dma-buf (recvmsg)", "socket \(socket.rawValue)",
            refusals: [.noMessage: (.unexpectedAnswer, "the message carried no descriptor")],
            kernel.receiveDescriptor(from: socket))
        return try DMABuf(adopting: received, kernel: kernel)
    }

    /// Closes this process's descriptor. Mappings of the dma-buf stay.
    public consuming func close() throws(VFIOError) {
        let subject = subject
        try file.close("close the dma-buf", subject)
    }
}
