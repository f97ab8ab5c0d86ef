/// An open file of the mock: what `struct file` is to Linux.
///
/// Its descriptors are those of an empty file in memory, and the inode tells which open file a descriptor belongs to,
/// however the process came by it.
final class OpenFile {
    enum Object {
        case container(Container)
        case group(VFIOGroup)
        case device(DeviceFile)
        case iommufd(IOMMUFD)
        case dmaBuf(DMABuf)
    }

    let inode: UInt64
    let object: Object
    /// The descriptors that the mock knows of.
    var descriptors: Set<Int32> = []
    /// Descriptors on their way through sockets.
    var inFlight = 0
    /// What else keeps it open: mappings of the process, and other objects of the kernel.
    var holds = 0
    /// For `read` and `write` without an offset.
    var position: UInt64 = 0

    init(inode: UInt64, _ object: Object) {
        self.inode = inode
        self.object = object
    }

    var isInUse: Bool { !descriptors.isEmpty || inFlight > 0 || holds > 0 }
}

/// An open `/dev/vfio/vfio`.
final class Container {
    var groups: [VFIOGroup] = []
    /// Set by `VFIO_SET_IOMMU`, until the last group leaves.
    var iommu: Type1IOMMU?
}

/// An IOMMU group with a device that is bound to vfio-pci.
final class VFIOGroup {
    let number: Int
    /// The open file: there is at most one.
    var file: OpenFile?
    var container: Container?
    /// Open devices.
    var deviceCount = 0
    /// Devices that are bound to an iommufd by their own nodes.
    var nodeCount = 0
    /// The iommufd that owns the group's DMA, if one does.
    var owner: IOMMUFD?

    init(_ number: Int) { self.number = number }
}

/// An open device.
final class DeviceFile {
    let function: PCIFunction
    /// The group that it was opened through, whose file it keeps open; `nil` for one opened by its own node.
    let group: VFIOGroup?
    /// The iommufd that it was bound to.
    var iommufd: OpenFile?
    var isGranted = false

    init(_ function: PCIFunction, group: VFIOGroup?) {
        self.function = function
        self.group = group
    }
}
