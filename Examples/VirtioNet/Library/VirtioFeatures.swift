/// Feature bits that a device offers and a driver accepts (virtio 1.2, 2.2, 5.1.3 and 6).
public struct VirtioFeatures: OptionSet, Sendable, Hashable {
    public let rawValue: UInt64

    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// The device reports its Ethernet address (`VIRTIO_NET_F_MAC`).
    public static let mac = VirtioFeatures(rawValue: 1 << 5)
    /// The device reports its link state (`VIRTIO_NET_F_STATUS`).
    public static let status = VirtioFeatures(rawValue: 1 << 16)
    /// The device complies with version 1.0 or later, and is not a legacy device (`VIRTIO_F_VERSION_1`).
    public static let version1 = VirtioFeatures(rawValue: 1 << 32)
    /// The device's DMA uses the platform's translation, that is the IOMMU (`VIRTIO_F_ACCESS_PLATFORM`).
    public static let accessPlatform = VirtioFeatures(rawValue: 1 << 33)
    /// Memory accesses are ordered as for other devices, so that barriers for devices are needed
    /// (`VIRTIO_F_ORDER_PLATFORM`).
    public static let orderPlatform = VirtioFeatures(rawValue: 1 << 36)

    /// The features that this driver accepts.
    static let known: VirtioFeatures = [.mac, .status, .version1, .accessPlatform, .orderPlatform]
}

extension VirtioFeatures: CustomStringConvertible {
    public var description: String {
        let names: [(VirtioFeatures, String)] = [
            (.mac, "MAC"), (.status, "STATUS"), (.version1, "VERSION_1"), (.accessPlatform, "ACCESS_PLATFORM"),
            (.orderPlatform, "ORDER_PLATFORM"),
        ]
        var found = names.filter { contains($0.0) }.map(\.1)
        let rest = subtracting(Self.known)
        if !rest.isEmpty { found.append("0x\(String(rest.rawValue, radix: 16))") }
        return "[\(found.joined(separator: ", "))]"
    }
}
