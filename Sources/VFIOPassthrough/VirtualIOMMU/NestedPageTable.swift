public import VFIO

/// A nested (stage-1) page table in guest memory, which the hardware reads there (a nested HWPT). The parent page
/// table, which maps the guest's memory, translates its output. The corresponding request is `IOMMU_HWPT_ALLOC`.
///
/// ```swift
/// let parent = try device.makePageTable(options: .nestingParent)
/// let nested = try device.makePageTable(over: parent, .intelVTD(table: 0x1234000, addressWidth: 48, options: []))
/// try device.attach(to: nested)
/// …
/// try nested.invalidate(.intelVTD([.all]))
/// ```
///
/// It keeps the parent page table, or the virtual IOMMU that it was made in, open.
public struct NestedPageTable: ~Copyable, Sendable {
    let object: IOMMUFDObject

    /// Invalidates the hardware's caches of the page table, after the guest has changed it. An IOMMU that supports
    /// virtual IOMMUs may accept this by ``VirtualIOMMU/invalidate(_:)`` only.
    /// The corresponding request is `IOMMU_HWPT_INVALIDATE`.
    ///
    /// - Throws: The number of entries that were handled, and the error of the next one: `.unsupported` for entries
    ///   that this IOMMU does not accept.
    public func invalidate(_ entries: IOMMUInvalidation) throws(InvalidationFailure) {
        try entries.perform(on: object, "the nested page table")
    }

    /// Destroys the page table and throws the kernel's error. The corresponding request is `IOMMU_DESTROY`.
    ///
    /// - Throws: `.inUse` while a device is attached: the page table is destroyed after the last one is detached.
    public consuming func close() throws(VFIOError) { try object.close() }
}
