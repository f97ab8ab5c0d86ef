public import VFIO

/// A page table that a guest keeps in its own memory, and the hardware reads there (a nested HWPT). What it leads to
/// goes through the page table below, which has the guest's memory. The corresponding request is `IOMMU_HWPT_ALLOC`.
///
/// ```swift
/// let parent = try device.makePageTable(options: .nestingParent)
/// let nested = try device.makePageTable(over: parent, .intelVTD(table: 0x1234000, addressWidth: 48, options: []))
/// try device.attach(to: nested)
/// …
/// try nested.invalidate(.intelVTD([.all]))
/// ```
///
/// It keeps the page table below, or the virtual IOMMU that it was made in.
public struct NestedPageTable: ~Copyable, Sendable {
    let object: IOMMUFDObject

    /// Drops what the hardware remembers of the guest's page table, after the guest has changed it. An IOMMU with
    /// virtual ones may take this by ``VirtualIOMMU/invalidate(_:)`` only.
    /// The corresponding request is `IOMMU_HWPT_INVALIDATE`.
    ///
    /// - Throws: How many entries were done, and why the next was not: `.unsupported` for entries that this IOMMU does not
    ///   take.
    public func invalidate(_ entries: IOMMUInvalidation) throws(InvalidationFailure) {
        try entries.perform(on: object, "the nested page table")
    }

    /// Destroys the page table and reports what the kernel said.
    ///
    /// - Throws: `.inUse` while a device is attached: it is destroyed when the last one has left.
    public consuming func close() throws(VFIOError) { try object.close() }
}
