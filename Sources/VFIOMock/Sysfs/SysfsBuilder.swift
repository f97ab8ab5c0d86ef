import SystemPackage
import VFIO

/// Fills ``Sysfs`` from the state of the machine.
struct SysfsBuilder {
    let core: Core
    let tree: Sysfs

    init(_ core: Core, _ tree: Sysfs) {
        self.core = core
        self.tree = tree
    }

    func build() {
        tree.addAttribute("/proc/sys/kernel/osrelease", core.release.name)
        for folder in [
            "/sys/bus/pci/devices", "/sys/bus/pci/drivers/vfio-pci", "/sys/kernel/iommu_groups",
            "/sys/class/iommu/dmar0",
            "/sys/class/vfio-dev", "/sys/class/vfio", "/dev/vfio",
        ] { tree.addFolder(folder) }
        tree.addAttribute("/sys/module/vfio_iommu_type1/parameters/dma_entry_limit", "\(core.iommu.mappingLimit)")
        tree.addAttribute("/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "N")
        tree.addAttribute("/sys/module/vfio_pci/parameters/disable_idle_d3", "N")
        addVirtualFunctionsParameter()
        if core.release.hasIOMMUFD { tree.add("/dev/iommu", .device) }
        if core.release.hasContainer { tree.add("/dev/vfio/vfio", .device) }
        for function in core.functions.values where function.mediated == nil { addFunction(function) }
        if !core.mediatedParents.isEmpty { addMediated() }
        for driver in core.nativeDrivers.union(["vfio-pci"]) { addDriver(driver) }
        tree.addWritable("/sys/bus/pci/drivers_probe", nil) { [core] (bytes) throws(Errno) in
            guard let function = Self.function(core, bytes) else { throw .operationNotSupportedByDevice }
            guard function.driver == nil else { return true }
            let drivers = ["vfio-pci"] + core.nativeDrivers.sorted()
            if let driver = drivers.first(where: { core.matches($0, function) }) {
                // The file does not tell that a driver has refused a device.
                do throws(Errno) {
                    try core.probe(function, driver)
                } catch .invalidArgument {}
            }
            return true
        }
    }

    static func text(_ bytes: [UInt8]) -> String {
        var text = String(decoding: bytes, as: UTF8.self)
        while text.last == "\n" || text.last == "\0" { text.removeLast() }
        return text
    }

    private static func function(_ core: Core, _ bytes: [UInt8]) -> PCIFunction? {
        PCIAddress(text(bytes)).flatMap { core.functions[$0] }
    }

    private static func hexadecimal(_ value: some BinaryInteger, _ digits: Int) -> String {
        let text = String(value, radix: 16)
        return "0x" + String(repeating: "0", count: max(0, digits - text.count)) + text
    }

    // MARK: Devices

    static func path(of function: PCIFunction) -> String {
        if let mediated = function.mediated { return path(ofParent: mediated.parent) + "/\(mediated.uuid)" }
        let domain = hexadecimal(function.address.domain, 4).dropFirst(2)
        let root = "/sys/devices/pci\(domain):00"
        // Devices of other buses sit behind a port of the root complex.
        return function.isOnRootBus ? "\(root)/\(function.address)" : "\(root)/\(domain):00:1c.0/\(function.address)"
    }

    private func addFunction(_ function: PCIFunction) {
        let path = Self.path(of: function)
        let pci = function.pci
        tree.addFolder(path)
        tree.addAttribute("\(path)/vendor", Self.hexadecimal(pci.vendor, 4))
        tree.addAttribute("\(path)/device", Self.hexadecimal(pci.device, 4))
        tree.addAttribute("\(path)/subsystem_vendor", Self.hexadecimal(pci.subsystemVendor, 4))
        tree.addAttribute("\(path)/subsystem_device", Self.hexadecimal(pci.subsystem, 4))
        tree.addAttribute("\(path)/class", Self.hexadecimal(pci.classCode, 6))
        tree.addAttribute("\(path)/revision", Self.hexadecimal(pci.revision, 2))
        tree.addAttribute("\(path)/numa_node", "-1")
        tree.addAttribute("\(path)/enable", function.openCount > 0 ? "1" : "0")
        tree.addAttribute("\(path)/irq", pci.hasINTx ? "11" : "0")
        tree.addAttribute("\(path)/resource", resources(function))
        tree.add("\(path)/config", .attribute(function.config.hardware))
        if core.canReset(function) {
            tree.addAttribute("\(path)/reset_method", pci.hasFunctionLevelReset ? "flr" : "bus")
        }
        tree.addWritable("\(path)/driver_override", function.driverOverride ?? "(null)") { (bytes) throws(Errno) in
            let name = Self.text(bytes)
            function.driverOverride = name.isEmpty ? nil : name
            return true
        }
        tree.addLink("\(path)/subsystem", to: "/sys/bus/pci")
        tree.addLink("/sys/bus/pci/devices/\(function.address)", to: path)
        addGroup(function, path)
        addVirtualFunctions(function, path)
        guard let driver = function.driver else { return }
        tree.addLink("\(path)/driver", to: "/sys/bus/pci/drivers/\(driver)")
        tree.addLink("/sys/bus/pci/drivers/\(driver)/\(function.address)", to: path)
        guard driver == "vfio-pci" else { return }
        addNodes(function, path)
    }

    private func addGroup(_ function: PCIFunction, _ path: String) {
        let group = "/sys/kernel/iommu_groups/\(function.groupNumber)"
        guard function.hasIOMMU else {
            // VFIO makes the group up when it takes the device.
            guard function.driver == "vfio-pci" else { return }
            tree.addLink("\(path)/iommu_group", to: group)
            tree.addLink("\(group)/devices/\(function.address)", to: path)
            tree.addAttribute("\(group)/name", "vfio-noiommu")
            return
        }
        tree.addLink("\(path)/iommu_group", to: group)
        tree.addLink("\(group)/devices/\(function.address)", to: path)
        tree.addAttribute("\(group)/type", "DMA-FQ")
        let ranges = core.iommu.reservedRanges.map {
            "\(Self.hexadecimal($0.lowerBound, 16)) \(Self.hexadecimal($0.upperBound, 16)) msi"
        }
        tree.addAttribute("\(group)/reserved_regions", ranges.joined(separator: "\n"))
    }

    /// The nodes of a device that VFIO has.
    func addNodes(_ function: PCIFunction, _ path: String) {
        guard let number = function.nodeNumber else { return }
        let mark = function.hasIOMMU ? "" : "noiommu-"
        if core.release.hasContainer {
            tree.add("/dev/vfio/\(mark)\(function.groupNumber)", .device)
            tree.addFolder("/sys/devices/virtual/vfio/\(mark)\(function.groupNumber)")
            tree.addLink(
                "/sys/class/vfio/\(mark)\(function.groupNumber)",
                to: "/sys/devices/virtual/vfio/\(mark)\(function.groupNumber)")
        }
        // Before device nodes, the class had the plain name.
        let name = core.release.hasDeviceNodes ? "\(mark)vfio\(number)" : "vfio\(number)"
        let node = "\(path)/vfio-dev/\(name)"
        tree.addFolder(node)
        tree.addLink("\(node)/device", to: path)
        tree.addLink("/sys/class/vfio-dev/\(name)", to: node)
        guard core.release.hasDeviceNodes else { return }
        tree.addAttribute("\(node)/dev", "244:\(number)")
        tree.add("/dev/vfio/devices/\(name)", .device)
    }

    private func resources(_ function: PCIFunction) -> String {
        let none = "0x0000000000000000 0x0000000000000000 0x0000000000000000"
        return (0..<13).map { index in
            guard let bar = function.pci.bars[index], let start = function.barAddresses[index] else { return none }
            // IORESOURCE_MEM and SIZEALIGN, then MEM_64, PREFETCH with its bit of the BAR.
            let flags: UInt64 =
                0x40200 | (bar.is64Bit ? 0x10_0004 : 0) | (bar.isPrefetchable ? 0x2008 : 0)
            let end = start + UInt64(bar.byteCount) - 1
            return "\(Self.hexadecimal(start, 16)) \(Self.hexadecimal(end, 16)) \(Self.hexadecimal(flags, 16))"
        }.joined(separator: "\n")
    }

    // MARK: Drivers

    private func addDriver(_ driver: String) {
        let path = "/sys/bus/pci/drivers/\(driver)"
        tree.addWritable("\(path)/bind", nil) { [core] (bytes) throws(Errno) in
            guard let function = Self.function(core, bytes), core.matches(driver, function) else {
                throw .operationNotSupportedByDevice
            }
            if function.driver != nil { throw .resourceBusy }
            try core.probe(function, driver)
            return true
        }
        tree.addWritable("\(path)/unbind", nil) { [core] (bytes) throws(Errno) in
            guard let function = Self.function(core, bytes), function.driver == driver else {
                throw .operationNotSupportedByDevice
            }
            if driver == "vfio-pci" && core.isHeld(function) {
                function.interrupts.request?.signal()
                return false
            }
            guard core.removeVirtualFunctions(of: function) else { return false }
            core.setDriver(function, nil)
            return true
        }
        guard driver == "vfio-pci" else { return }
        tree.addWritable("\(path)/new_id", nil) { [core] (bytes) throws(Errno) in
            let id = try Self.id(bytes)
            if core.vfioIDs.contains(id) { throw .fileExists }
            core.vfioIDs.insert(id)
            for function in core.functions.values where function.driver == nil && core.matches(driver, function) {
                try core.probe(function, driver)
            }
            return true
        }
        tree.addWritable("\(path)/remove_id", nil) { [core] (bytes) throws(Errno) in
            guard core.vfioIDs.remove(try Self.id(bytes)) != nil else { throw .operationNotSupportedByDevice }
            return true
        }
    }

    /// Vendor and device number in hexadecimal.
    private static func id(_ bytes: [UInt8]) throws(Errno) -> UInt32 {
        let fields = text(bytes).split(separator: " ")
        guard fields.count >= 2, let vendor = UInt16(fields[0], radix: 16), let device = UInt16(fields[1], radix: 16)
        else { throw .invalidArgument }
        return UInt32(vendor) << 16 | UInt32(device)
    }
}
