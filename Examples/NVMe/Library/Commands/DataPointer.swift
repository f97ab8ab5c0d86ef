public import VFIO

/// Where a command's data is, as physical region pages (NVM Express Base Specification 1.4, 4.3).
///
/// The data is contiguous for the controller, as everything is that the library maps, so the entries are an arithmetic
/// series: the first may begin inside of a page, all others at one. Up to two pages fit into the command; beyond, the
/// second entry leads to a list.
@usableFromInline
struct DataPointer: Sendable, Hashable {
    /// PRP entry 1: the first byte.
    @usableFromInline let first: UInt64
    /// PRP entry 2: the second page, or the list; 0 when the data ends in the first page.
    @usableFromInline let second: UInt64

    /// Works the entries out, and writes the list where one is needed.
    ///
    /// - Parameters:
    ///   - address: The first byte, a multiple of 4.
    ///   - byteCount: At least 1.
    ///   - pageSize: The controller's page size.
    ///   - lists: Where lists go, with room at `listOffset` for all pages but the first, inside of one page.
    ///   - listAddress: Where the controller sees that place.
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
