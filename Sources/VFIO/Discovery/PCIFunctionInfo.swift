/// The kernel's information on a PCI function, without opening it: a snapshot of its sysfs directory.
public struct PCIFunctionInfo: Sendable, Hashable, Identifiable {
    /// The PCI address of the function.
    public let address: PCIAddress
    /// The vendor and device ID, as in config space.
    public let vendorID: UInt16
    public let deviceID: UInt16
    /// The vendor and device ID of the subsystem.
    public let subsystemVendorID: UInt16
    public let subsystemID: UInt16
    /// Base class, subclass and programming interface: 24 bits, as in `0x010802`.
    public let classCode: UInt32
    public let revision: UInt8
    /// The port or bridge that it is behind; `nil` on a root bus.
    public let parent: PCIAddress?
    /// The driver that it is bound to; `nil` for none.
    public let driver: String?
    /// The only driver that may bind it (`driver_override`); `nil` if any matching driver may.
    public let driverOverride: String?
    /// Whether it is enabled. With a VFIO driver it is while a program has it open, and also if its last driver left it
    /// so.
    public let isEnabled: Bool
    /// The number of its IOMMU group; `nil` if it has none, as without an IOMMU.
    public let iommuGroup: Int?
    /// Whether an IOMMU translates its DMA. A group that vfio has created for a device without one (no-IOMMU mode) does
    /// not count.
    public let hasIOMMU: Bool
    /// The NUMA node that it is nearest to; `nil` if the machine does not report it.
    public let numaNode: Int?
    /// The name of its character device in `/dev/vfio/devices`, such as `vfio0`; `nil` for none.
    public let vfioNode: String?
    /// Whether the firmware started the display on it.
    public let isBootDisplay: Bool
    /// The methods by which the kernel can reset it alone, in the order in which it tries them; empty if there is none.
    public let resetMethods: [String]
    /// The physical function that this one is a virtual function of.
    public let physicalFunction: PCIAddress?
    /// Its virtual functions, if it is a physical function that has some.
    public let virtualFunctions: [PCIAddress]
    /// The maximum number of its virtual functions; `nil` without SR-IOV.
    public let virtualFunctionLimit: Int?

    public var id: PCIAddress { address }

    /// Whether it is bound to a VFIO driver, so that a program can open it.
    public var isBoundToVFIO: Bool { driver.map(DriverName.isVFIO) ?? false }

    /// Whether a program may open the other devices of its IOMMU group: no kernel driver does DMA with this one.
    public var leavesGroupViable: Bool { driver.map(DriverName.isHarmless) ?? true }

    /// Whether its class is that of a bridge of any type, which includes endpoints: see ``isPlatformBridge``.
    public var isBridge: Bool { classCode >> 16 == 0x06 }

    /// Whether it is a bridge that belongs to the platform, and is not for programs: a port, a host bridge, or a bridge to
    /// another bus such as ISA. Devices of the other bridge classes, such as switches of GPUs and non-transparent
    /// bridges, are endpoints.
    public var isPlatformBridge: Bool { (0x0600...0x0607).contains(classCode >> 8) || isPort }

    /// Whether it is a bridge with a bridge header: a port, or a bridge to conventional PCI or to CardBus. vfio-pci
    /// binds none.
    public var isPort: Bool { [0x0604, 0x0607, 0x0609].contains(classCode >> 8) }
}
