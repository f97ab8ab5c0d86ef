internal import CVFIO
internal import SystemPackage

/// What a device is and can do (`VFIO_DEVICE_GET_INFO`).
public struct DeviceInfo: Sendable, Hashable {
    /// Whether the device can be reset (`VFIO_DEVICE_FLAGS_RESET`).
    public let canReset: Bool
    /// Whether this is a PCI device.
    public let isPCI: Bool
    /// One more than the highest region index.
    public let regionCount: UInt32
    /// One more than the highest interrupt index.
    public let interruptCount: UInt32
    /// The PCIe AtomicOps that the root port completes for the device (`VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP`, Linux 6.6);
    /// empty where none are, or nothing is known.
    public let atomicCompletions: PCIAtomicCompletions
    /// What s390 says of a PCI function; `nil` elsewhere.
    public let zpci: ZPCIInfo?

    init(of descriptor: FileDescriptor, kernel: any Kernel, subject: @autoclosure () -> String) throws(VFIOError) {
        let answer = try GrowingRequest.perform(
            CVFIO_DEVICE_GET_INFO, cvfio_device_info(), on: descriptor, of: kernel,
            operation: "ask what the device is (VFIO_DEVICE_GET_INFO)", subject: subject())
        let info = answer.header(cvfio_device_info.self)
        canReset = info.flags & CVFIO_DEVICE_FLAGS_RESET != 0
        isPCI = info.flags & CVFIO_DEVICE_FLAGS_PCI != 0
        regionCount = info.num_regions
        interruptCount = info.num_irqs
        var atomicCompletions: PCIAtomicCompletions = []
        var zpci = ZPCIInfo()
        if info.flags & CVFIO_DEVICE_FLAGS_CAPS != 0 {
            try CapabilityChain.walk(answer, from: info.cap_offset, headerSize: Self.oldestSize, subject: subject()) {
                (id, offset) throws(VFIOError) in
                switch id {
                case CVFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP:
                    guard let found = answer.load(cvfio_device_info_cap_pci_atomic_comp.self, at: offset) else {
                        throw CapabilityChain.truncated("PCI atomic completions", subject: subject())
                    }
                    atomicCompletions = PCIAtomicCompletions(rawValue: found.flags)
                default: try zpci.read(id, answer, at: offset, subject: subject())
                }
            }
        }
        self.atomicCompletions = atomicCompletions
        self.zpci = zpci.isEmpty ? nil : zpci
    }

    /// Before Linux 6.6 the structure ended here, and capabilities followed.
    private static let oldestSize = 20
}
