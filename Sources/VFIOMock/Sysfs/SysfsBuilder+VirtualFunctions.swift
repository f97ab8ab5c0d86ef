import SystemPackage

extension SysfsBuilder {
    static let virtualFunctionsParameter = "/sys/module/vfio_pci/parameters/enable_sriov"

    /// Whether vfio-pci lets virtual functions be made.
    func addVirtualFunctionsParameter() {
        tree.addWritable(Self.virtualFunctionsParameter, core.allowsVirtualFunctions ? "Y" : "N") {
            [core] (bytes) throws(Errno) in
            switch Self.text(bytes) {
            case "Y", "y", "1": core.allowsVirtualFunctions = true
            case "N", "n", "0": core.allowsVirtualFunctions = false
            default: throw .invalidArgument
            }
            return true
        }
    }

    /// How many virtual functions a physical one has, and the links between them.
    func addVirtualFunctions(_ function: PCIFunction, _ path: String) {
        if let physical = function.physical { tree.addLink("\(path)/physfn", to: Self.path(of: physical)) }
        guard let own = function.virtualFunctions else { return }
        tree.addAttribute("\(path)/sriov_totalvfs", "\(own.limit)")
        tree.addAttribute("\(path)/sriov_offset", "1")
        tree.addAttribute("\(path)/sriov_stride", "1")
        // vfio-pci claims the functions of one that it holds, whatever is written here.
        tree.addWritable("\(path)/sriov_drivers_autoprobe", own.isProbed ? "1" : "0") { (bytes) throws(Errno) in
            switch Self.text(bytes) {
            case "Y", "y", "1": own.isProbed = true
            case "N", "n", "0": own.isProbed = false
            default: throw .invalidArgument
            }
            return true
        }
        tree.addWritable("\(path)/sriov_numvfs", "\(own.functions.count)") { [core] (bytes) throws(Errno) in
            try core.setVirtualFunctions(Self.text(bytes), of: function)
        }
        for (number, virtual) in own.functions.enumerated() {
            tree.addLink("\(path)/virtfn\(number)", to: Self.path(of: virtual))
        }
    }
}
