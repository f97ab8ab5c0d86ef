public import VFIO

/// The location of a command's data, as physical region pages (NVM Express Base Specification 1.4, 4.3).
///
/// Memory mapped by the library is contiguous for the controller, so the entries are an arithmetic series: the first
/// may have an offset within its page, all others are page-aligned. Up to two pages fit into the command; for more, the
/// second entry points to a list.
@usableFromInline
struct DataPointer: Sendable, Hashable {
    /// PRP entry 1: the address of the first byte.
    @usableFromInline let first: UInt64
    /// PRP entry 2: the address of the second page or of the list; 0 when the data ends in the first page.
    @usableFromInline let second: UInt64

    /// Computes the entries, and writes the list if one is needed.
    ///
    /// - Parameters:
    ///   - address: The address of the first byte, a multiple of 4.
    ///   - byteCount: The number of bytes, at least 1.
    ///   - pageSize: The controller's page size.
    ///   - lists: The memory for lists, with space at `listOffset` for all pages but the first, within one page.
    ///   - listAddress: The IOVA of that space.
    @inlinable @inline(__always)
    init<Memory: VolatileMemory & ~Copyable & ~Escapable>(
        to address: UInt64, byteCount: UInt64, pageSize: UInt64, lists: borrowing Memory, at listOffset: Int,
        listAddress: UInt64
    ) {
        let inFirstPage = pageSize &- address & (pageSize &- 1)
        first = address
        guard byteCount > inFirstPage else {
            second = 0
            return
        }
        let rest = byteCount &- inFirstPage
        let secondPage = address &+ inFirstPage
        guard rest > pageSize else {
            second = secondPage
            return
        }
        second = listAddress
        var page = secondPage
        let end = secondPage &+ rest
        var offset = listOffset
        while page < end {
            lists.write64(page, at: offset)
            page &+= pageSize
            offset &+= 8
        }
    }
}
