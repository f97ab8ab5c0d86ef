/// The progress of the device's initialisation (virtio 1.2, 2.1).
public struct DeviceStatus: OptionSet, Sendable, Hashable {
    public let rawValue: UInt8

    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// The driver has found the device.
    public static let acknowledge = DeviceStatus(rawValue: 1)
    /// The driver supports the device.
    public static let driver = DeviceStatus(rawValue: 2)
    /// The driver is ready.
    public static let driverOK = DeviceStatus(rawValue: 4)
    /// The features are negotiated.
    public static let featuresOK = DeviceStatus(rawValue: 8)
    /// The device has met an unrecoverable error.
    public static let needsReset = DeviceStatus(rawValue: 64)
    /// The driver has given up.
    public static let failed = DeviceStatus(rawValue: 128)
}
