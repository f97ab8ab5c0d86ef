public import SystemPackage
public import VFIO

/// A range of guest physical addresses, and the memory behind it.
public struct GuestMemoryRange: Sendable {
    /// The address for the guest and its devices.
    public let address: GuestAddress
    /// The length in bytes.
    public let byteCount: UInt64
    /// The access that the devices get.
    public let access: DMAAccess
    let source: Source

    /// The source of the memory.
    enum Source: Sendable {
        /// Allocated by the library, zeroed.
        case new(PageSize)
        /// A part of a file in memory, from an offset in bytes; mapped by the library.
        case file(FileDescriptor, offset: UInt64)
        /// The caller's, at an address of the process.
        case memory(UInt)
    }

    /// Returns a range of new zeroed memory, which is freed with the guest's memory.
    ///
    /// - Parameters:
    ///   - address: The guest address, a multiple of the page size.
    ///   - byteCount: A multiple of the page size, also of a huge one.
    ///   - pages: The page size.
    ///   - access: The access that the devices get.
    public static func new(
        at address: GuestAddress, byteCount: UInt64, pages: PageSize = .standard, access: DMAAccess = .readWrite
    ) -> GuestMemoryRange {
        GuestMemoryRange(address: address, byteCount: byteCount, access: access, source: .new(pages))
    }

    /// Returns a range of a file in memory, such as `memfd_create(2)` creates, which other processes can share.
    ///
    /// - Parameters:
    ///   - file: The caller still owns it, and may close it after the range is mapped.
    ///   - offset: The start of the range in the file, in bytes, a multiple of the page size.
    ///   - address: The guest address, a multiple of the page size.
    ///   - byteCount: A multiple of the page size. The range must be inside of the file.
    ///   - access: The access that the devices get.
    public static func file(
        _ file: FileDescriptor, offset: UInt64 = 0, at address: GuestAddress, byteCount: UInt64,
        access: DMAAccess = .readWrite
    ) -> GuestMemoryRange {
        GuestMemoryRange(
            address: address, byteCount: byteCount, access: access, source: .file(file, offset: offset))
    }

    /// Returns a range of memory that the caller owns and keeps while the range is mapped.
    ///
    /// It is unsafe for the same reason as `AddressSpace.map(_:access:placement:)`: if the caller unmaps the memory
    /// earlier, the devices and the process no longer see the same memory.
    ///
    /// - Parameters:
    ///   - memory: Page-aligned at both ends, and ordinary memory: a BAR is refused.
    ///   - address: The guest address, a multiple of the page size.
    ///   - access: The access that the devices get.
    @unsafe
    public static func unsafeMemory(
        _ memory: UnsafeMutableRawBufferPointer, at address: GuestAddress, access: DMAAccess = .readWrite
    ) -> GuestMemoryRange {
        GuestMemoryRange(
            address: address, byteCount: UInt64(memory.count), access: access,
            source: .memory(UInt(bitPattern: memory.baseAddress)))
    }
}
