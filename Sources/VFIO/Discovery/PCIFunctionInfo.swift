/// What the kernel says of a PCI function, without opening it: a snapshot of its folder in sysfs.
public struct PCIFunctionInfo: Sendable, Hashable, Identifiable {
    /// Where it sits.
    public let address: PCIAddress
    /// Vendor and device number, as in config space.
    public let vendorID: UInt16
    public let deviceID: UInt16
    /// Vendor and number of the board that the function is on.
    public let subsystemVendorID: UInt16
    public let subsystemID: UInt16
    /// Base class, subclass and programming interface: 24 bits, as in `0x010802`.
    public let classCode: UInt32
    public let revision: UInt8
    /// The port or bridge that it sits behind; `nil` on a root bus.
    public let parent: PCIAddress?
    /// The driver that holds it; `nil` when none does.
    public let driver: String?
    /// The only driver that may take it (`driver_override`); `nil` when any may that knows it.
    public let driverOverride: String?
    /// Whether a driver has switched it on: for one of VFIO's, that a program has it open.
    public let isEnabled: Bool
    /// The number of its IOMMU group; `nil` when it has none, as without an IOMMU.
    public let iommuGroup: Int?
    /// Whether an IOMMU stands between the device and memory. A group that vfio has made up for a device without one
    /// (no-IOMMU mode) does not count.
    public let hasIOMMU: Bool
    /// The NUMA node that it is nearest to; `nil` when the machine does not say.
    public let numaNode: Int?
    /// The name of its character device in `/dev/vfio/devices`, such as `vfio0`; `nil` when it has none.
    public let vfioNode: String?
    /// The display that the firmware started on.
    public let isBootDisplay: Bool
    /// The ways in which the kernel can reset it alone, in the order in which it tries them; empty when there is none.
    public let resetMethods: [String]
    /// The physical function that this one is a virtual function of.
    public let physicalFunction: PCIAddress?
    /// Its virtual functions, when it is a physical function that has some.
    public let virtualFunctions: [PCIAddress]
    /// How many virtual functions it can have; `nil` when it has no SR-IOV.
    public let virtualFunctionLimit: Int?

    public var id: PCIAddress { address }

    /// Whether a driver of VFIO holds it, so that a program can open it.
    public var isBoundToVFIO: Bool { driver.map(DriverName.isVFIO) ?? false }

    /// Whether a program may have the other devices of its IOMMU group: no driver of the kernel does DMA with this one.
    public var leavesGroupViable: Bool { driver.map(DriverName.isHarmless) ?? true }

    /// A bridge of any kind: ports of a root complex or a switch, host bridges, bridges to other buses. Few are for
    /// programs.
    public var isBridge: Bool { classCode >> 16 == 0x06 }

    /// A bridge with the header of one: a port, a bridge to conventional PCI or to CardBus. vfio-pci takes none.
    public var isPort: Bool { [0x0604, 0x0607, 0x0609].contains(classCode >> 8) }
}
