/// A device that is bound to an iommufd.
final class IOMMUFDDevice {
    let id: UInt32
    unowned let function: PCIFunction
    var table: IOMMUFDTable?

    init(id: UInt32, _ function: PCIFunction) {
        self.id = id
        self.function = function
    }
}
