public import VFIO

/// The memory of a queue pair, which the controller and the driver share: two rings, and a list of pages for each command.
public struct QueueMemory: ~Copyable, Sendable {
    /// The most bytes that one command can move.
    public let maximumTransferByteCount: Int
    /// The submission ring, of 64 bytes an entry.
    public let submissions: DMABuffer
    /// The completion ring, of 16 bytes an entry.
    public let completions: DMABuffer
    /// The lists of pages, one after the other, each inside of one page.
    @usableFromInline let lists: DMABuffer
    /// The entries of the submission ring: one more than can be in flight.
    public let submissionEntryCount: Int
    /// The entries of the completion ring.
    public let completionEntryCount: Int
    /// The binary logarithm of the bytes of a list.
    @usableFromInline let listShift: Int
    @usableFromInline let pageSize: UInt64
    // The rings again, for the way of each command.
    @usableFromInline let submissionRing: RingMemory
    @usableFromInline let completionRing: RingMemory

    /// Allocates the memory.
    ///
    /// - Parameters:
    ///   - space: The address space that the controller is in.
    ///   - depth: How many commands can be in flight, at least 1.
    ///   - maximumTransferByteCount: The most bytes that one command can move; at most what one list of pages describes,
    ///     which is 2 MiB with pages of 4 KiB.
    ///   - pageSize: The controller's memory page in bytes, a power of two.
    ///   - maximumEntryCount: The most entries of a ring, at least one more than `depth`.
    public init(
        in space: AddressSpace, depth: Int, maximumTransferByteCount: Int = 128 << 10, pageSize: Int = 4096,
        maximumEntryCount: Int = 65536
    ) throws(NVMeError) {
        // Fewer than half of the identifiers, so that no two commands that follow each other have the same, and none has
        // FFFFh, which no command is to have.
        let most = min(maximumEntryCount - 1, 32767)
        guard depth >= 1, depth <= most else {
            throw .invalidArgument("a queue can have 1 to \(most) commands in flight, not \(depth)")
        }
        guard pageSize >= 4096, pageSize & (pageSize - 1) == 0 else {
            throw .invalidArgument("a memory page is a power of two of at least 4096 bytes, not \(pageSize)")
        }
        guard (1...pageSize / 8 * pageSize).contains(maximumTransferByteCount) else {
            throw .invalidArgument(
                "a command can move 1 to \(pageSize / 8 * pageSize) bytes, not \(maximumTransferByteCount)")
        }
        // One entry stays free, or a full ring would look like an empty one. And twice as many completions, so that the
        // controller need not be told of each that was taken.
        let entryCounts = (depth + 1, min(2 * (depth + 1), maximumEntryCount))
        // A power of two, so that no list crosses a page.
        let pages = max(8, (maximumTransferByteCount + pageSize - 1) / pageSize)
        let listShift = Int.bitWidth - (pages - 1).leadingZeroBitCount + 3
        let submissions = try Self.allocate(entryCounts.0 * 64, in: space)
        let completions = try Self.allocate(entryCounts.1 * 16, in: space)
        let lists = try Self.allocate(depth << listShift, in: space)
        submissionRing = RingMemory(submissions)
        completionRing = RingMemory(completions)
        self.submissions = submissions
        self.completions = completions
        self.lists = lists
        (submissionEntryCount, completionEntryCount) = entryCounts
        self.listShift = listShift
        self.maximumTransferByteCount = maximumTransferByteCount
        self.pageSize = UInt64(pageSize)
    }

    private static func allocate(_ byteCount: Int, in space: AddressSpace) throws(NVMeError) -> DMABuffer {
        do throws(VFIOError) { return try space.allocate(byteCount: byteCount) } catch { throw .vfio(error) }
    }

    /// Frees the memory, and reports what the kernel said.
    consuming func close() throws(VFIOError) {
        try submissions.close()
        try completions.close()
        try lists.close()
    }
}
