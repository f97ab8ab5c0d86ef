/// What a device offers and a driver accepts (virtio 1.2, 2.2, 5.1.3 and 6).
public struct VirtioFeatures: OptionSet, Sendable, Hashable {
    public let rawValue: UInt64

    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// The device tells its address on the network (`VIRTIO_NET_F_MAC`).
    public static let mac = VirtioFeatures(rawValue: 1 << 5)
    /// The device tells whether its link is up (`VIRTIO_NET_F_STATUS`).
    public static let status = VirtioFeatures(rawValue: 1 << 16)
    /// A device of version 1.0 or later, and no legacy one (`VIRTIO_F_VERSION_1`).
    public static let version1 = VirtioFeatures(rawValue: 1 << 32)
    /// The device's DMA goes the way of the platform's, by the IOMMU (`VIRTIO_F_ACCESS_PLATFORM`).
    public static let accessPlatform = VirtioFeatures(rawValue: 1 << 33)
    /// The device sees memory as devices do, so that it takes barriers that reach devices (`VIRTIO_F_ORDER_PLATFORM`).
    public static let orderPlatform = VirtioFeatures(rawValue: 1 << 36)

    /// What this driver makes use of when it is offered.
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
