public import VFIO

/// A device as a guest's IOMMU knows it (vDEVICE): what invalidations and events of the ``VirtualIOMMU`` name.
/// The corresponding request is `IOMMU_VDEVICE_ALLOC`.
///
/// The kernel would end it together with the device; so the device stays open until this is closed, and the virtual IOMMU
/// too.
public struct VirtualDevice: ~Copyable, Sendable {
    let object: IOMMUFDObject
    /// The guest's number for it: a stream number of SMMUv3, or the device number of AMD and Intel VT-d.
    public let number: UInt64

    /// Takes the name away and reports what the kernel said.
    public consuming func close() throws(VFIOError) { try object.close() }
}
