/// What the machine itself uses a device for, and would lose with it.
public enum DeviceUse: Sendable, Hashable {
    /// A file system on a block device of it is mounted.
    case mounted(blockDevice: String, at: String)
    /// It is swapped to.
    case swap(blockDevice: String)
    /// A block device of it is part of another one: of a RAID, of a volume group, of an encrypted device.
    case partOf(blockDevice: String, holder: String)
    /// A network interface of it is up and carries an address or a route.
    case network(interface: String)
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
        case .network(let interface): "the network interface \(interface) is up and has an address"
        case .bootDisplay: "it is the display that the machine started on"
        case .virtualFunctions(let count): "it has \(count) virtual functions, which end with it"
        case .open: "a program has it open"
        }
    }
}
