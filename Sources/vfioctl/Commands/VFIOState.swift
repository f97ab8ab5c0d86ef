import VFIO

/// The state of a device with respect to VFIO, according to sysfs.
enum VFIOState: String {
    /// A program can open it.
    case ready
    /// It is enabled, as while a program has it open.
    case inUse = "in-use"
    /// It is bound to VFIO, but another device of its group is bound to a kernel driver.
    case blocked
    /// It has no driver.
    case free
    /// It is bound to a kernel driver.
    case taken = "kernel"
    /// It is bound to VFIO, but no IOMMU isolates it.
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
