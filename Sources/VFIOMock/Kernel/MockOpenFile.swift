public import VFIO

/// An open file, as ``MockMachine/openFiles`` shows it.
public struct MockOpenFile: Sendable, Hashable {
    /// What is open.
    public enum Kind: Sendable, Hashable {
        /// `/dev/vfio/vfio`
        case container
        /// `/dev/vfio/NUMBER`
        case group(Int)
        /// A device, by its group or by its own node.
        case device(DeviceAddress)
        /// `/dev/iommu`
        case iommufd
        /// An exported dma-buf, with its name.
        case dmaBuf(name: String)
        /// A queue of page faults of an iommufd.
        case faultQueue
        /// A queue of what the IOMMU reports for a guest.
        case eventQueue
        /// A stream of a device's state.
        case migration
        /// `/dev/kvm`
        case kvm
        /// A virtual machine.
        case virtualMachine
        /// The kvm-vfio device of a virtual machine.
        case kvmVFIO
    }

    public let kind: Kind
    /// How many descriptors there are for it.
    public let descriptorCount: Int

    init(_ file: OpenFile) {
        kind = file.operations.kind
        descriptorCount = file.descriptors.count
    }
}
