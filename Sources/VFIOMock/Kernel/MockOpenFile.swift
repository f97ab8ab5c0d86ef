public import VFIO

/// An open file in ``MockMachine/openFiles``.
public struct MockOpenFile: Sendable, Hashable {
    /// The type of an open file.
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
        /// A fault queue of an iommufd.
        case faultQueue
        /// An event queue of a virtual IOMMU (vEVENTQ).
        case eventQueue
        /// A migration stream.
        case migration
        /// `/dev/kvm`
        case kvm
        /// A virtual machine.
        case virtualMachine
        /// The kvm-vfio device of a virtual machine.
        case kvmVFIO
    }

    public let kind: Kind
    /// The number of its descriptors.
    public let descriptorCount: Int

    init(_ file: OpenFile) {
        kind = file.operations.kind
        descriptorCount = file.descriptors.count
    }
}
