public import VFIO

/// A queue in a guest's memory that the IOMMU reads by itself, made by
/// ``VirtualIOMMU/makeQueue(_:index:at:byteCount:)``. The corresponding request is `IOMMU_HW_QUEUE_ALLOC`.
///
/// The memory is pinned, and its mapping cannot be unmapped, until the queue is closed.
public struct HardwareQueue: ~Copyable, Sendable {
    /// The make of a queue.
    public enum Kind: Sendable, Hashable {
        /// A virtual command queue of NVIDIA's Tegra241.
        case tegra241CMDQV
        /// One that this library has no word for, by the kernel's number for it.
        case other(type: UInt32)
    }

    let object: IOMMUFDObject

    /// Destroys the queue and reports what the kernel said.
    ///
    /// - Throws: `.inUse` while another queue depends on it, as those of Tegra241 do on the ones of lower index: it is
    ///   destroyed after that one.
    public consuming func close() throws(VFIOError) { try object.close() }
}
