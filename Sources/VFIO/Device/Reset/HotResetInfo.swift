/// What a hot reset of a device resets with it. The corresponding request is `VFIO_DEVICE_GET_PCI_HOT_RESET_INFO`.
///
/// A hot reset is a reset of the bus or the slot: of all functions behind it.
public struct HotResetInfo: Sendable, Hashable {
    /// A function that is reset.
    public struct Function: Sendable, Hashable {
        /// Where it sits.
        public let address: PCIAddress
        /// Who holds it.
        public let owner: Owner
    }

    /// Who holds a function.
    public enum Owner: Sendable, Hashable {
        /// A function of the IOMMU group with this number; whoever has the group open holds it.
        case group(Int)
        /// The iommufd has it, under this number, in this address space or in a sibling.
        case device(id: UInt32)
        /// Not open in this address space's iommufd, but of a group that is; nobody else can open it.
        case ownGroup
        /// Somebody else, or nobody: it stands in the way.
        case other
    }

    /// All functions that are reset, the asked one among them.
    public let functions: [Function]
    /// Whether the kernel says that all of them are this address space's (iommufd only); `nil` where it says nothing.
    public let isOwned: Bool?
}
