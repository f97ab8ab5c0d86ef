public import VFIO

/// A queue in guest memory that the IOMMU reads directly, made by ``VirtualIOMMU/makeQueue(_:index:at:byteCount:)``.
/// The corresponding request is `IOMMU_HW_QUEUE_ALLOC`.
///
/// The memory is pinned, and its mapping cannot be unmapped, until the queue is closed.
public struct HardwareQueue: ~Copyable, Sendable {
    /// The type of a queue.
    public enum Kind: Sendable, Hashable {
        /// A virtual command queue of NVIDIA's Tegra241.
        case tegra241CMDQV
        /// An unrecognised type, by the kernel's number for it.
        case other(type: UInt32)
    }

    let object: IOMMUFDObject

    /// Destroys the queue and throws the kernel's error. The corresponding request is `IOMMU_DESTROY`.
    ///
    /// - Throws: `.inUse` while another queue depends on it, as Tegra241 queues do on those of lower index: it is
    ///   destroyed after that one.
    public consuming func close() throws(VFIOError) { try object.close() }
}
