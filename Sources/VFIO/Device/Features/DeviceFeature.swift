internal import CVFIO

/// An optional feature of a device, by its number in VFIO. The corresponding request is `VFIO_DEVICE_FEATURE`.
public struct DeviceFeature: RawRepresentable, Sendable, Hashable {
    public let rawValue: UInt16

    public init(rawValue: UInt16) { self.rawValue = rawValue }

    private init(_ number: UInt32) { self.init(rawValue: UInt16(number)) }

    /// The token for opening virtual functions, of a physical function with SR-IOV.
    public static var vfToken: DeviceFeature { DeviceFeature(CVFIO_DEVICE_FEATURE_PCI_VF_TOKEN) }
    /// Migration of the device's state.
    public static var migration: DeviceFeature { DeviceFeature(CVFIO_DEVICE_FEATURE_MIGRATION) }
    /// Low power states controlled by user space.
    public static var lowPower: DeviceFeature { DeviceFeature(CVFIO_DEVICE_FEATURE_LOW_POWER_ENTRY) }
    /// A log of the pages that the device writes.
    public static var dmaLogging: DeviceFeature { DeviceFeature(CVFIO_DEVICE_FEATURE_DMA_LOGGING_START) }
    /// Export of BARs as dma-bufs: Linux 6.19 and newer, with `CONFIG_VFIO_PCI_DMABUF`.
    public static var dmaBuf: DeviceFeature { DeviceFeature(CVFIO_DEVICE_FEATURE_DMA_BUF) }
}

extension Device {
    /// Returns whether the kernel, the driver and the device support a feature (`VFIO_DEVICE_FEATURE_PROBE`).
    /// The corresponding request is `VFIO_DEVICE_FEATURE`.
    public func supports(_ feature: DeviceFeature) throws(VFIOError) -> Bool {
        try ABI.probeFeature(feature.rawValue).isOffered(
            on: core, "probe the feature \(feature.rawValue)", "\(address)")
    }
}
