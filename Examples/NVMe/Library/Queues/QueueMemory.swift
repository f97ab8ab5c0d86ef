public import VFIO

/// The memory of a queue pair, shared by controller and driver: two rings, and a page list for each command.
public struct QueueMemory: ~Copyable, Sendable {
    /// The maximum number of bytes of one command.
    public let maximumTransferByteCount: Int
    let buffers: QueueBuffers
    /// The number of entries of the submission ring: one more than the maximum number of commands in flight.
    public let submissionEntryCount: Int
    /// The number of entries of the completion ring.
    public let completionEntryCount: Int
    /// The binary logarithm of a list's size in bytes.
    @usableFromInline let listShift: Int
    @usableFromInline let pageSize: UInt64
    // Again, without bounds checks, for the fast path.
    @usableFromInline let submissionRing: RingMemory
    @usableFromInline let completionRing: RingMemory
    @usableFromInline let listMemory: RingMemory
    @usableFromInline let listAddress: UInt64

    /// Allocates the memory.
    ///
    /// - Parameters:
    ///   - space: The controller's address space.
    ///   - depth: The maximum number of commands in flight, at least 1.
    ///   - maximumTransferByteCount: The maximum number of bytes of one command; at most what one page list describes,
    ///     which is 2 MiB with pages of 4 KiB.
    ///   - pageSize: The controller's memory page size in bytes, a power of two.
    ///   - maximumEntryCount: The maximum number of entries of a ring, at least one more than `depth`.
    public init(
        in space: AddressSpace, depth: Int, maximumTransferByteCount: Int = 128 << 10, pageSize: Int = 4096,
        maximumEntryCount: Int = 65536
    ) throws(NVMeError) {
        // Fewer than half of the identifiers, so that consecutive commands have different identifiers, and none has
        // FFFFh, which is reserved.
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
        // One entry stays free, to distinguish a full ring from an empty one. The completion ring has twice as many
        // entries, so that the doorbell need not be written for each completion.
        let entryCounts = (depth + 1, min(2 * (depth + 1), maximumEntryCount))
        // A power of two, so that no list crosses a page boundary; at least 512 bytes, because there are controllers that
        // need lists aligned to that.
        let pages = max(64, (maximumTransferByteCount + pageSize - 1) / pageSize)
        let listShift = Int.bitWidth - (pages - 1).leadingZeroBitCount + 3
        let submissions = try Self.allocate(entryCounts.0 * 64, in: space)
        let completions = try Self.allocate(entryCounts.1 * 16, in: space)
        let lists = try Self.allocate(depth << listShift, in: space)
        submissionRing = RingMemory(submissions)
        completionRing = RingMemory(completions)
        listMemory = RingMemory(lists)
        listAddress = lists.iova.rawValue
        buffers = QueueBuffers(submissions: submissions, completions: completions, lists: lists)
        (submissionEntryCount, completionEntryCount) = entryCounts
        self.listShift = listShift
        self.maximumTransferByteCount = maximumTransferByteCount
        self.pageSize = UInt64(pageSize)
    }

    private static func allocate(_ byteCount: Int, in space: AddressSpace) throws(NVMeError) -> DMABuffer {
        do throws(VFIOError) { return try space.allocate(byteCount: byteCount) } catch { throw .vfio(error) }
    }

    /// The submission ring, with entries of 64 bytes.
    public var submissions: DMABuffer {
        _read { yield buffers.submissions }
    }
    /// The completion ring, with entries of 16 bytes.
    public var completions: DMABuffer {
        _read { yield buffers.completions }
    }
    /// The page lists, one after the other, each within one page.
    var lists: DMABuffer {
        _read { yield buffers.lists }
    }

    /// Frees the memory and reports errors of the kernel.
    consuming func close() throws(VFIOError) { try buffers.close() }
}

/// Leaks memory, which stays mapped, because the controller may still access it.
func abandon<Memory: ~Copyable>(_ memory: consuming Memory) {
    let place = UnsafeMutablePointer<Memory>.allocate(capacity: 1)
    unsafe place.initialize(to: memory)
}
