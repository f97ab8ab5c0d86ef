/// The functions that a hot reset of a device resets.
/// The corresponding request is `VFIO_DEVICE_GET_PCI_HOT_RESET_INFO`.
///
/// A hot reset is a reset of the bus or the slot: of all functions behind it.
public struct HotResetInfo: Sendable, Hashable {
    /// A function that is reset.
    public struct Function: Sendable, Hashable {
        /// The PCI address of the function.
        public let address: PCIAddress
        /// The owner of the function.
        public let owner: Owner
    }

    /// The owner of a function.
    public enum Owner: Sendable, Hashable {
        /// The process that has the IOMMU group with this number open.
        case group(Int)
        /// The iommufd of this address space, which has the device open by this ID, in this address space or in a
        /// sibling.
        case device(id: UInt32)
        /// None; but the IOMMU group belongs to this address space's iommufd, so no other process can open the
        /// function.
        case ownGroup
        /// Another process or driver, or none: it prevents the hot reset.
        case other
    }

    /// All functions that are reset, including this device.
    public let functions: [Function]
    /// Whether the kernel reports that all of them belong to this address space (iommufd only); `nil` if it does not
    /// report it.
    public let isOwned: Bool?
}
