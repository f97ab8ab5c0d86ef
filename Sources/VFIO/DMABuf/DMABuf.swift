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
        byteCount = try attempt(
            "ask for the size of the dma-buf (lseek)", subject, file.kernel.size(of: file.descriptor))
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
        if revocation.isClosed { return .exporterClosed }
        return revocation.isMemoryOn ? .live : .revoked
    }

    /// Whether ``state`` follows the exporter, which it does when the dma-buf was exported by this process.
    public var isRevocationTracked: Bool { revocation != nil }

    // MARK: What a dma-buf can do

    /// Gives the dma-buf a name, which shows in `/proc/PID/fdinfo` and in debugfs.
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

    /// Begins a time in which the CPU uses the memory, and waits for the devices that use it.
    /// The corresponding request is `DMA_BUF_IOCTL_SYNC`.
    public func beginCPUAccess(_ access: DMAAccess) throws(VFIOError) {
        try sync(access, isEnd: false)
    }

    /// Ends a time in which the CPU used the memory. The corresponding request is `DMA_BUF_IOCTL_SYNC`.
    public func endCPUAccess(_ access: DMAAccess) throws(VFIOError) {
        try sync(access, isEnd: true)
    }

    private func sync(_ access: DMAAccess, isEnd: Bool) throws(VFIOError) {
        try ABI.syncDMABuf(isEnd: isEnd, isRead: access.contains(.read), isWritten: access.contains(.write)).perform(
            on: file, "synchronize the dma-buf", subject)
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
        try attempt("duplicate the dma-buf's descriptor", subject, kernel.duplicate(descriptor))
    }

    /// Sends the dma-buf to another process (`SCM_RIGHTS`). This one keeps its own.
    ///
    /// - Parameter socket: A connected Unix socket, which stays the caller's.
    public func send(over socket: FileDescriptor) throws(VFIOError) {
        try attempt("send the dma-buf (sendmsg)", subject, kernel.send(descriptor, over: socket))
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
        let received = try attempt(
            "receive a dma-buf (recvmsg)", "socket \(socket.rawValue)",
            refusals: [.noMessage: (.unexpectedAnswer, "the message carried no descriptor")],
            kernel.receiveDescriptor(from: socket))
        return try DMABuf(adopting: received, kernel: kernel)
    }

    /// Closes this process's descriptor. Mappings that were made of the dma-buf stay.
    public consuming func close() throws(VFIOError) {
        let subject = subject
        try file.close("close the dma-buf", subject)
    }
}
