internal import SystemPackage
public import VFIO

/// A device that a virtual machine knows of, until the end of this value's life (`KVM_DEV_VFIO_FILE_ADD` and `_DEL`).
/// The corresponding request is `KVM_SET_DEVICE_ATTR`.
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

    /// Ends the registration and reports what the kernel said.
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
    /// KVM then knows that the machine does DMA, and whether that goes past the caches: on x86 it lets the guest choose
    /// how memory is cached if so. With a type1 address space it is the device's IOMMU group that is registered.
    ///
    /// The device's driver in the kernel asks for its machine when the device is opened. Those that need one (drivers of
    /// mediated devices, s390) have to be registered before that: `Device(at:in:token:for:)` does it.
    ///
    /// - Throws: `.busy` when the device, or its group, is registered with another machine, or the machine has a kvm-vfio
    ///   device of somebody else's; `.unsupported` when the kernel has no such device, and before Linux 6.6 for a device of
    ///   an iommufd; `.invalidArgument` when the descriptor is no machine's.
    public func register(_ device: borrowing Device) throws(VFIOError) -> DeviceRegistration {
        let core = device.core
        let lease = DeviceLease(core, for: .registration)
        let file = core.registrableFile
        try core.space.registeredFiles.add(file, to: self, subject: "\(core.address)")
        return DeviceRegistration(machine: self, file: file, lease: lease)
    }
}

extension Device {
    /// Opens a device for a virtual machine: it is registered with the machine before it is opened, and until it is closed
    /// (see ``VirtualMachine/register(_:)``).
    ///
    /// - Parameters:
    ///   - address: Where the device sits.
    ///   - space: The addresses that its DMA goes to.
    ///   - token: Shared between the users of a physical function and of its virtual ones; any other device refuses one.
    ///   - machine: The virtual machine that the device is for; `nil` for none.
    /// - Throws: As for a device that is for no machine, and as ``VirtualMachine/register(_:)``.
    public init(
        at address: PCIAddress, in space: AddressSpace, token: VFToken? = nil, for machine: VirtualMachine?
    ) throws(VFIOError) {
        try self.init(opening: .pci(address), in: space, token: token, for: machine)
    }

    /// Opens a mediated device for a virtual machine, without which some drivers do not let it be opened.
    ///
    /// - Parameters:
    ///   - uuid: The name that it was made with.
    ///   - space: The addresses that its DMA goes to.
    ///   - machine: The virtual machine that the device is for; `nil` for none.
    /// - Throws: As for a PCI device; `.notFound` when there is no mediated device of that name.
    public init(
        mediated uuid: DeviceUUID, in space: AddressSpace, for machine: VirtualMachine?
    ) throws(VFIOError) {
        try self.init(opening: .mediated(uuid), in: space, for: machine)
    }
}
