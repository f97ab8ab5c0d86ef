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

    init(of descriptor: FileDescriptor, kernel: any Kernel, subject: String) throws(VFIOError) {
        let answer = try GrowingRequest.perform(
            CVFIO_DEVICE_GET_INFO, cvfio_device_info(), on: descriptor, of: kernel,
            operation: "ask what the device is (VFIO_DEVICE_GET_INFO)", subject: subject)
        let info = answer.header(cvfio_device_info.self)
        canReset = info.flags & CVFIO_DEVICE_FLAGS_RESET != 0
        isPCI = info.flags & CVFIO_DEVICE_FLAGS_PCI != 0
        regionCount = info.num_regions
        interruptCount = info.num_irqs
    }
}
