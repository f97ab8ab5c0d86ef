import SystemPackage
import VFIO

// The bus holds the tree, so the tree's attributes refer to the bus as `unowned`.
extension SystemBus {
    /// Adds the kernel's files that exist without devices.
    func addKernelFiles() {
        let (release, iommu) = (release, iommu.configuration)
        sysfs.add(
            [
                "/sys/bus/pci/devices", "/sys/kernel/iommu_groups", "/sys/class/iommu/dmar0", "/sys/class/vfio-dev",
                "/sys/class/vfio", "/dev/vfio", "/sys/module/vfio", "/sys/module/vfio_pci_core",
            ].map { ($0, .folder) })
        if release.hasUnsafeNoIOMMUMode {
            sysfs.addText("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y")
        }
        if release.hasIOMMUFD { sysfs.add([("/sys/module/iommufd", .folder)]) }
        sysfs.addText("/proc/sys/kernel/osrelease", release.name)
        let modules =
            ["vfio/pci/vfio-pci"] + (release.hasContainer ? ["vfio/vfio_iommu_type1"] : [])
            + (release.hasIOMMUFD ? ["iommu/iommufd/iommufd"] : [])
        sysfs.addText(
            "/lib/modules/\(release.name)/modules.dep",
            modules.map { "kernel/drivers/\($0).ko.xz:" }.joined(separator: "\n"))
        sysfs.addText("/sys/module/vfio_iommu_type1/parameters/dma_entry_limit", "\(iommu.mappingLimit)")
        sysfs.addText("/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "N")
        sysfs.addText("/sys/module/vfio_pci/parameters/disable_idle_d3", "N")
        unowned let bus = self
        sysfs.addFlag(
            "/sys/module/vfio_pci/parameters/enable_sriov", ("Y", "N"), bus.allowsVirtualFunctions
        ) { bus.allowsVirtualFunctions = $0 }
        addDriver("vfio-pci")
        sysfs.addAction("/sys/bus/pci/drivers/vfio-pci/new_id") { (text) throws(Errno) in
            guard bus.vfioIDs.insert(try Self.id(text)).inserted else { throw .fileExists }
            for function in bus.functions.values where function.driver == nil && bus.matches("vfio-pci", function) {
                try bus.probe(function, "vfio-pci")
            }
            return true
        }
        sysfs.addAction("/sys/bus/pci/drivers/vfio-pci/remove_id") { (text) throws(Errno) in
            guard bus.vfioIDs.remove(try Self.id(text)) != nil else { throw .operationNotSupportedByDevice }
            return true
        }
        sysfs.addAction("/sys/bus/pci/drivers_probe") { (text) throws(Errno) in
            guard let function = bus.function(named: text) else { throw .operationNotSupportedByDevice }
            guard function.driver == nil else { return true }
            let drivers = ["vfio-pci"] + bus.nativeDrivers.sorted()
            if let driver = drivers.first(where: { bus.matches($0, function) }) {
                // The file does not report that a driver refused the device.
                do throws(Errno) {
                    try bus.probe(function, driver)
                } catch .invalidArgument {}
            }
            return true
        }
    }

    private func function(named text: String) -> PCIFunction? { PCIAddress(text).flatMap { functions[$0] } }

    /// Vendor and device number in hexadecimal.
    private static func id(_ text: String) throws(Errno) -> UInt32 {
        let fields = text.split(separator: " ")
        guard fields.count >= 2, let vendor = UInt16(fields[0], radix: 16), let device = UInt16(fields[1], radix: 16)
        else { throw .invalidArgument }
        return UInt32(vendor) << 16 | UInt32(device)
    }

    func addDriver(_ driver: String) {
        sysfs.addAction("/sys/bus/pci/drivers/\(driver)/bind") { [unowned self] (text) throws(Errno) in
            guard let function = function(named: text), matches(driver, function) else {
                throw .operationNotSupportedByDevice
            }
            if function.driver != nil { throw .resourceBusy }
            try probe(function, driver)
            return true
        }
        sysfs.addAction("/sys/bus/pci/drivers/\(driver)/unbind") { [unowned self] (text) throws(Errno) in
            guard let function = function(named: text), function.driver == driver else {
                throw .operationNotSupportedByDevice
            }
            // First the virtual functions, as vfio-pci does.
            guard removeVirtualFunctions(of: function) else { return false }
            if driver == "vfio-pci" && isHeld(function) {
                function.interrupts.requestRelease()
                return false
            }
            setDriver(function, nil)
            return true
        }
    }

    /// Updates the bus reset, which devices without a reset of their own have while alone on their bus.
    func updateBusReset(beside function: PCIFunction) {
        let neighbours = functions(onBusOf: function)
        // With more devices nothing changes.
        guard neighbours.count <= 2 else { return }
        for neighbour in neighbours where !neighbour.pci.hasFunctionLevelReset {
            sysfs.remove([neighbour.busResetEntry, neighbour.resetEntry])
            if neighbour.canReset { sysfs.add([neighbour.busResetEntry, neighbour.resetEntry]) }
        }
    }
}
