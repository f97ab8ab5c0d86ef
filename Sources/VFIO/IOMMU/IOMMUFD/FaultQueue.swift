internal import CVFIO
internal import SystemPackage

/// The page faults of devices for the process to handle: devices that support page requests (PRI), attached to a page
/// table made with this queue. The corresponding request is `IOMMU_FAULT_QUEUE_ALLOC`.
///
/// ```swift
/// let queue = try space.makeFaultQueue()
/// let table = try device.makePageTable(faults: queue)
/// while try queue.wait() {
///     for fault in try queue.faults() where fault.isLast { try queue.respond(to: fault, with: .invalid) }
/// }
/// ```
public struct FaultQueue: ~Copyable, Sendable {
    /// A device's page request.
    public struct Fault: Sendable, Hashable {
        /// The requested access.
        public struct Access: OptionSet, Sendable, Hashable {
            public let rawValue: UInt32

            public init(rawValue: UInt32) { self.rawValue = rawValue }

            public static let read = Access(rawValue: 1 << 0)
            public static let write = Access(rawValue: 1 << 1)
            public static let execution = Access(rawValue: 1 << 2)
            public static let privileged = Access(rawValue: 1 << 3)
        }

        /// The address of the page.
        public let iova: IOVA
        public let access: Access
        /// The PASID of the request; `nil` without one.
        public let pasid: UInt32?
        /// Whether this is the last request of its group: the one to respond to, for the whole group.
        public let isLast: Bool
        /// The group of the request.
        public let group: UInt32
        /// The number of bytes that the device may access; 0 if it does not report it.
        public let byteCount: UInt32
        let cookie: UInt32

        init(_ fault: ciommu_hwpt_pgfault) {
            iova = IOVA(fault.addr)
            access = Access(rawValue: fault.perm)
            pasid = fault.flags & CIOMMU_PGFAULT_FLAGS_PASID_VALID != 0 ? fault.pasid : nil
            isLast = fault.flags & CIOMMU_PGFAULT_FLAGS_LAST_PAGE != 0
            group = fault.grpid
            byteCount = fault.length
            cookie = fault.cookie
        }
    }

    /// A response to a page request.
    public enum Response: Sendable, Hashable {
        /// The page is mapped now: the device retries.
        case success
        /// There is no such page.
        case invalid
    }

    // In this order: fields are destroyed in the order of their declaration, and the kernel keeps the object while the
    // descriptor is open.
    private let descriptor: OwnedDescriptor
    package let object: IOMMUFDObject

    init(_ object: IOMMUFDObject, _ descriptor: consuming OwnedDescriptor) {
        self.object = object
        self.descriptor = descriptor
    }

    /// Waits for faults and blocks the thread.
    ///
    /// - Parameter timeout: How long to wait; zero only checks, `nil` has no limit.
    /// - Returns: Whether there are faults.
    public func wait(timeout: Duration? = nil) throws(VFIOError) -> Bool {
        try attempt(
            "wait for page faults (poll)", "the fault queue",
            descriptor.kernel.waitUntilReadable(
                descriptor.descriptor, until: ContinuousClock.Instant(after: timeout)))
    }

    /// Returns the pending faults, or the first groups of them; empty if there are none.
    public func faults() throws(VFIOError) -> [Fault] {
        let operation = "read page faults (read)"
        let size = MemoryLayout<ciommu_hwpt_pgfault>.size
        var room = 16
        // The kernel returns whole groups only, and EINVAL for a group that exceeds the buffer.
        while true {
            let buffer = RequestBuffer(byteCount: room * size)
            let count: Int
            do throws(Errno) {
                count = try unsafe descriptor.kernel.read(descriptor.descriptor, into: buffer.bytes)
            } catch .resourceTemporarilyUnavailable {
                return []
            } catch .invalidArgument where room < Self.longestGroup {
                room *= 2
                continue
            } catch {
                throw VFIOError(refused: error, operation, "the fault queue")
            }
            guard count >= 0, count <= buffer.byteCount, count % size == 0 else {
                throw VFIOError(
                    .unexpectedAnswer, operation, "the fault queue", hint: "\(count) bytes are no number of faults")
            }
            return stride(from: 0, to: count, by: size).compactMap { offset in
                buffer.load(ciommu_hwpt_pgfault.self, at: offset).map(Fault.init)
            }
        }
    }

    /// More than the queue of any IOMMU holds.
    private static let longestGroup = 1 << 16

    /// Responds to a group of faults.
    ///
    /// - Parameters:
    ///   - fault: The last of its group.
    ///   - answer: The response.
    /// - Throws: `.invalidArgument` if the fault is not the last of its group, or was responded to before.
    public func respond(to fault: Fault, with answer: Response) throws(VFIOError) {
        let operation = "answer a page fault (write)"
        guard fault.isLast else {
            throw VFIOError(
                .invalidArgument, operation, "IOVA \(fault.iova)", hint: "the last fault of the group is to be answered"
            )
        }
        var response = ciommu_hwpt_page_response()
        response.cookie = fault.cookie
        response.code = answer == .success ? CIOMMUFD_PAGE_RESP_SUCCESS : CIOMMUFD_PAGE_RESP_INVALID
        let buffer = RequestBuffer(response)
        let count = try unsafe attempt(
            operation, "IOVA \(fault.iova)", refusals: [.invalidArgument: (.invalidArgument, "it was answered before")],
            descriptor.kernel.write(descriptor.descriptor, from: UnsafeRawBufferPointer(buffer.bytes)))
        guard count == buffer.byteCount else {
            throw VFIOError(
                .unexpectedAnswer, operation, "IOVA \(fault.iova)", hint: "\(count) bytes were written")
        }
    }

    /// Closes the queue and throws the kernel's error. The corresponding request is `IOMMU_DESTROY`.
    ///
    /// - Throws: `.inUse` while a page table made with it is open.
    public consuming func close() throws(VFIOError) {
        // The descriptor holds the object, so it is closed first.
        let object = object
        try descriptor.close("close the fault queue", "its descriptor")
        try object.close()
    }
}
