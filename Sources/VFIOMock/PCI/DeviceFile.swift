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
