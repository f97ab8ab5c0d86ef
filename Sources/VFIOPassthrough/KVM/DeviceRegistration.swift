internal import SystemPackage
public import VFIO

/// A device registered with a virtual machine until this value is closed or deinitialized (`KVM_DEV_VFIO_FILE_ADD` and
/// `_DEL`). The corresponding request is `KVM_SET_DEVICE_ATTR`.
///
/// It keeps the device open.
public struct DeviceRegistration: ~Copyable, Sendable {
    /// The machine that the device is registered with.
    public let machine: VirtualMachine
    private let file: FileDescriptor
    private let lease: DeviceLease
    private var isOpen = true

    init(machine: VirtualMachine, file: FileDescriptor, lease: DeviceLease) {
        self.machine = machine
        self.file = file
        self.lease = lease
    }

    /// Ends the registration and throws the kernel's error. The corresponding request is `KVM_SET_DEVICE_ATTR`.
    public consuming func close() throws(VFIOError) {
        isOpen = false
        try end()
    }

    deinit {
        if isOpen { try? end() }
    }

    private borrowing func end() throws(VFIOError) {
        try lease.core.space.registeredFiles.remove(file, subject: "\(lease.core.address)")
    }
}

extension VirtualMachine {
    /// Registers an open device with the machine's kvm-vfio device. The corresponding request is `KVM_SET_DEVICE_ATTR`.
    ///
    /// KVM then knows that the machine's devices do DMA, and whether it may be non-coherent: on x86 it then honours the
    /// guest's memory types. With a type1 address space the device's IOMMU group is registered.
    ///
    /// The kernel driver of the device looks up its virtual machine when the device is opened. Devices whose drivers
    /// need one (mediated devices, s390) must be registered before that, which `Device(at:in:token:for:)` does.
    ///
    /// - Throws: `.busy` if the device or its group is registered with another machine, or the machine has a kvm-vfio
    ///   device of another owner; `.unsupported` if the kernel has no such device, and before Linux 6.6 for a device of
    ///   an iommufd; `.invalidArgument` if the descriptor is not a virtual machine's.
    public func register(_ device: borrowing Device) throws(VFIOError) -> DeviceRegistration {
        let core = device.core
        let lease = DeviceLease(core, for: .registration)
        let file = core.registrableFile
        try core.space.registeredFiles.add(file, to: self, subject: "\(core.address)")
        return DeviceRegistration(machine: self, file: file, lease: lease)
    }
}

extension Device {
    /// Opens a device for a virtual machine: it is registered with the machine before it is opened, and until it is
    /// closed (see ``VirtualMachine/register(_:)``).
    /// The corresponding requests are `VFIO_GROUP_GET_DEVICE_FD` and `VFIO_DEVICE_BIND_IOMMUFD`.
    ///
    /// - Parameters:
    ///   - address: The PCI address of the device.
    ///   - space: The address space that its DMA uses.
    ///   - token: The secret shared by the users of a physical function and of its virtual functions; refused by any
    ///     other device.
    ///   - machine: The virtual machine that the device is for; `nil` for none.
    /// - Throws: As for a device without a virtual machine, and as ``VirtualMachine/register(_:)``.
    public init(
        at address: PCIAddress, in space: AddressSpace, token: VFToken? = nil, for machine: VirtualMachine?
    ) throws(VFIOError) {
        try self.init(opening: .pci(address), in: space, token: token, for: machine)
    }

    /// Opens a mediated device for a virtual machine, which some drivers require.
    /// The corresponding requests are `VFIO_GROUP_GET_DEVICE_FD` and `VFIO_DEVICE_BIND_IOMMUFD`.
    ///
    /// - Parameters:
    ///   - uuid: The UUID that it was created with.
    ///   - space: The address space that its DMA uses.
    ///   - machine: The virtual machine that the device is for; `nil` for none.
    /// - Throws: As for a PCI device; `.notFound` if there is no such mediated device.
    public init(
        mediated uuid: DeviceUUID, in space: AddressSpace, for machine: VirtualMachine?
    ) throws(VFIOError) {
        try self.init(opening: .mediated(uuid), in: space, for: machine)
    }
}
