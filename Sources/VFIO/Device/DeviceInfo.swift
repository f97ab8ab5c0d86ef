internal import CVFIO

/// The type and capabilities of a device. The corresponding request is `VFIO_DEVICE_GET_INFO`.
public struct DeviceInfo: Sendable, Hashable {
    /// Whether the device can be reset (`VFIO_DEVICE_FLAGS_RESET`).
    public let canReset: Bool
    /// Whether this is a PCI device.
    public let isPCI: Bool
    /// One more than the highest region index.
    public let regionCount: UInt32
    /// One more than the highest interrupt index.
    public let interruptCount: UInt32
    /// The PCIe AtomicOps that the root port completes for the device (`VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP`, Linux
    /// 6.6); empty if there are none or the kernel does not report them.
    public let atomicCompletions: PCIAtomicCompletions
    /// The s390 properties of a PCI function; `nil` on other architectures.
    public let zpci: ZPCIInfo?

    init(of device: borrowing OwnedDescriptor, subject: String) throws(VFIOError) {
        let answer = try ABI.getDeviceInfo().perform(
            on: device, operation: ABI.Call.getDeviceInfo.operation("ask what the device is"), subject)
        let info = answer.structure
        canReset = info.flags & CVFIO_DEVICE_FLAGS_RESET != 0
        isPCI = info.flags & CVFIO_DEVICE_FLAGS_PCI != 0
        regionCount = info.num_regions
        interruptCount = info.num_irqs
        let atomics = try answer.capability(
            CVFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP, "PCI atomic completions",
            as: cvfio_device_info_cap_pci_atomic_comp.self)
        atomicCompletions = PCIAtomicCompletions(rawValue: atomics?.flags ?? 0)
        zpci = try ZPCIInfo(answer, subject: subject)
    }
}
