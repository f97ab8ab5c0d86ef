public import SystemPackage
public import VFIO

/// A range of a guest's physical addresses, and the memory behind it.
public struct GuestMemoryRange: Sendable {
    /// Where the guest sees it, and its devices too.
    public let address: GuestAddress
    /// The length in bytes.
    public let byteCount: UInt64
    /// What the devices may do.
    public let access: DMAAccess
    let source: Source

    /// Whose the memory is.
    enum Source: Sendable {
        /// Made by the library, zeroed.
        case new(PageSize)
        /// A part of a file in memory, from an offset in bytes; mapped by the library.
        case file(FileDescriptor, offset: UInt64)
        /// The caller's, at an address of the process.
        case memory(UInt)
    }

    /// New memory, zeroed, which is freed when the guest's memory ends.
    ///
    /// - Parameters:
    ///   - address: Where the guest sees it, a multiple of the page size.
    ///   - byteCount: A multiple of the page size, also of a huge one.
    ///   - pages: What it is made of.
    ///   - access: What the devices may do.
    public static func new(
        at address: GuestAddress, byteCount: UInt64, pages: PageSize = .standard, access: DMAAccess = .readWrite
    ) -> GuestMemoryRange {
        GuestMemoryRange(address: address, byteCount: byteCount, access: access, source: .new(pages))
    }

    /// Part of a file in memory, as `memfd_create(2)` makes them, so that other processes can have it too.
    ///
    /// - Parameters:
    ///   - file: It stays the caller's, and may be closed once the range is mapped.
    ///   - offset: Where in the file the range begins, in bytes, a multiple of the page size.
    ///   - address: Where the guest sees it, a multiple of the page size.
    ///   - byteCount: A multiple of the page size. All of it has to be in the file.
    ///   - access: What the devices may do.
    public static func file(
        _ file: FileDescriptor, offset: UInt64 = 0, at address: GuestAddress, byteCount: UInt64,
        access: DMAAccess = .readWrite
    ) -> GuestMemoryRange {
        GuestMemoryRange(
            address: address, byteCount: byteCount, access: access, source: .file(file, offset: offset))
    }

    /// Memory that the caller owns and keeps for as long as the range is mapped.
    ///
    /// It is unsafe for the same reason as `AddressSpace.map(_:access:placement:)`: if
    /// the caller unmaps the memory earlier, the devices and the process no longer see the same.
    ///
    /// - Parameters:
    ///   - memory: Page-aligned on both sides, and ordinary memory: a BAR's is refused.
    ///   - address: Where the guest sees it, a multiple of the page size.
    ///   - access: What the devices may do.
    @unsafe
    public static func unsafeMemory(
        _ memory: UnsafeMutableRawBufferPointer, at address: GuestAddress, access: DMAAccess = .readWrite
    ) -> GuestMemoryRange {
        GuestMemoryRange(
            address: address, byteCount: UInt64(memory.count), access: access,
            source: .memory(UInt(bitPattern: memory.baseAddress)))
    }
}
