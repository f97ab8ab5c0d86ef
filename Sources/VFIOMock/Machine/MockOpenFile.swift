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
        kind =
            switch file.object {
            case .container: .container
            case .group(let group): .group(group.number)
            case .device(let device): .device(device.function.deviceAddress)
            case .iommufd: .iommufd
            case .dmaBuf(let buffer): .dmaBuf(name: buffer.name ?? "")
            case .picture(let picture): .dmaBuf(name: picture.name ?? "")
            case .faultQueue: .faultQueue
            case .eventQueue: .eventQueue
            case .migration: .migration
            case .kvm: .kvm
            case .virtualMachine: .virtualMachine
            case .kvmVFIO: .kvmVFIO
            }
        descriptorCount = file.descriptors.count
    }
}
