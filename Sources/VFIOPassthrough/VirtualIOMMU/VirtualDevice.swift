public import VFIO

/// A device in a guest's IOMMU (vDEVICE), which invalidations and events of the ``VirtualIOMMU`` refer to.
/// The corresponding request is `IOMMU_VDEVICE_ALLOC`.
///
/// The kernel would destroy it with the device; so it keeps the device and the virtual IOMMU open.
public struct VirtualDevice: ~Copyable, Sendable {
    let object: IOMMUFDObject
    /// The guest's ID of the device: a stream ID of SMMUv3, or the device ID of AMD and Intel VT-d.
    public let number: UInt64

    /// Destroys the virtual device and throws the kernel's error. The corresponding request is `IOMMU_DESTROY`.
    public consuming func close() throws(VFIOError) { try object.close() }
}
