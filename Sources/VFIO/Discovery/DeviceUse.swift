/// What the machine itself uses a device for, and would lose with it.
public enum DeviceUse: Sendable, Hashable {
    /// A file system on a block device of it is mounted.
    case mounted(blockDevice: String, at: String)
    /// It is swapped to.
    case swap(blockDevice: String)
    /// A block device of it is part of another one: of a RAID, of a volume group, of an encrypted device.
    case partOf(blockDevice: String, holder: String)
    /// Somebody else has a block device of it for himself alone: a file system that is mounted elsewhere or spread over
    /// several disks, a volume manager.
    case claimed(blockDevice: String)
    /// A network interface of it is up, and has a link, an address or a route, or is part of another interface.
    case network(interface: String)
    /// A network interface of it lives in another network namespace, such as a container's.
    case networkElsewhere
    /// The firmware started the display on it.
    case bootDisplay
    /// It has virtual functions, which end with it.
    case virtualFunctions(count: Int)
    /// A program has it open through VFIO. Whoever takes it away waits until that program lets go.
    case open
}

extension DeviceUse: CustomStringConvertible {
    public var description: String {
        switch self {
        case .mounted(let device, let place): "\(device) is mounted at \(place)"
        case .swap(let device): "\(device) is swapped to"
        case .partOf(let device, let holder): "\(device) is part of \(holder)"
        case .claimed(let device): "\(device) is held exclusively by somebody"
        case .network(let interface): "the network interface \(interface) is up, and connected or part of another one"
        case .networkElsewhere: "its network interface is in another network namespace"
        case .bootDisplay: "it is the display that the machine started on"
        case .virtualFunctions(let count): "it has \(count) virtual functions, which end with it"
        case .open: "a program has it open"
        }
    }
}
