/// A use of a device by the machine itself, which unbinding the device would end.
public enum DeviceUse: Sendable, Hashable {
    /// A file system on one of its block devices is mounted.
    case mounted(blockDevice: String, at: String)
    /// One of its block devices is used for swap.
    case swap(blockDevice: String)
    /// One of its block devices is part of another one: of a RAID, of a volume group, of an encrypted device.
    case partOf(blockDevice: String, holder: String)
    /// One of its block devices is opened exclusively: by a file system that is mounted in another namespace or spans
    /// several disks, or by a volume manager.
    case claimed(blockDevice: String)
    /// One of its network interfaces is up, and has a link, an address or a route, or is part of another interface.
    case network(interface: String)
    /// One of its network interfaces is in another network namespace, such as a container's.
    case networkElsewhere
    /// The firmware started the display on it.
    case bootDisplay
    /// A monitor is connected to it, and shows its picture.
    case display(connector: String)
    /// A program has one of its nodes open, such as a display server or a sound server.
    case node(String, openIn: String, process: Int)
    /// It has virtual functions, which disappear with it.
    case virtualFunctions(count: Int)
    /// It is enabled, and nobody is seen to have it open: a program of another user or container has it open through
    /// VFIO, and unbinding waits until that program closes it; or its last driver left it enabled.
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
        case .display(let connector): "a monitor shows its picture (\(connector))"
        case .node(let node, let name, let process): "\(name) (process \(process)) has \(node) open"
        case .virtualFunctions(let count): "it has \(count) virtual functions, which end with it"
        case .open: "it is enabled: a program that is not seen here has it open, or its last driver left it so"
        }
    }
}
