internal import SystemPackage

/// A device that a virtual machine knows of, until the end of this value's life (`KVM_DEV_VFIO_FILE_ADD` and `_DEL`).
/// The corresponding request is `KVM_SET_DEVICE_ATTR`.
///
/// It keeps the device open.
public struct DeviceRegistration: ~Copyable, Sendable {
    /// The machine that the device is registered with.
    public let machine: VirtualMachine
    private let file: FileDescriptor
    private let lease: DeviceLease
    private var isOn = true

    init(machine: VirtualMachine, file: FileDescriptor, lease: DeviceLease) {
        self.machine = machine
        self.file = file
        self.lease = lease
    }

    /// Ends the registration and reports what the kernel said.
    public consuming func close() throws(VFIOError) {
        isOn = false
        try end()
    }

    deinit {
        if isOn { try? end() }
    }

    private borrowing func end() throws(VFIOError) {
        try lease.core.space.backend.registeredFiles.remove(file, subject: "\(lease.core.address)")
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
        let file = core.groupNumber.flatMap { core.space.backend.groupDescriptor($0) } ?? core.descriptor
        try core.space.backend.registeredFiles.add(file, to: self, subject: "\(core.address)")
        return DeviceRegistration(machine: self, file: file, lease: lease)
    }
}
