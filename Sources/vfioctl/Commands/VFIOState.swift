import VFIO

/// How a device stands to VFIO, as far as sysfs tells.
enum VFIOState: String {
    /// A program can open it.
    case ready
    /// A program has it open.
    case inUse = "in-use"
    /// It is bound to VFIO, but a driver of the kernel holds another device of its group.
    case blocked
    /// No driver holds it.
    case free
    /// A driver of the kernel holds it.
    case taken = "kernel"
    /// It is bound to VFIO, but no IOMMU protects memory from it.
    case noIOMMU = "unprotected"

    init(of function: PCIFunctionInfo, among functions: [PCIFunctionInfo]) {
        guard function.driver != nil else {
            self = .free
            return
        }
        guard function.isBoundToVFIO else {
            self = .taken
            return
        }
        guard let group = function.iommuGroup, function.hasIOMMU else {
            self = .noIOMMU
            return
        }
        if functions.contains(where: { $0.iommuGroup == group && !$0.leavesGroupViable }) {
            self = .blocked
        } else {
            self = function.isEnabled ? .inUse : .ready
        }
    }
}
