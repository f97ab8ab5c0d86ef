import SystemPackage
import VFIO

extension Core {
    func plug(_ device: some MockDevice, at address: PCIAddress, group: Int?, driver: String?, hasIOMMU: Bool) {
        precondition(functions[address] == nil, "there is a device at \(address) already")
        precondition(hasIOMMU || group == nil, "a device without an IOMMU shares its group with nobody")
        let number = group ?? nextGroupNumber
        let native = driver.flatMap { $0 == "vfio-pci" ? nil : $0 }
        let function: PCIFunction
        do throws(Errno) {
            function = try PCIFunction(
                device, at: address, group: number, placing: { placeBARs($0) }, nativeDriver: native)
        } catch {
            preconditionFailure("no memory for the BARs of \(address): \(error)")
        }
        function.hasIOMMU = hasIOMMU
        if let native, nativeDrivers.insert(native).inserted { addDriver(native) }
        add(function)
        if driver == "vfio-pci" { function.driverOverride = driver }
        if driver != "vfio-pci" || isTakenByVFIO(function) { setDriver(function, driver) }
        function.call(self) { (model, bus) in model.start(bus: bus) }
    }

    var nextGroupNumber: Int { (functions.values.map(\.groupNumber).max() ?? 0) + 1 }

    func setDriver(_ function: PCIFunction, _ driver: String?) {
        sysfs.remove(function.driverEntries(self))
        function.driver = driver
        function.virtualFunctions?.forgetToken()
        if driver == "vfio-pci" {
            var number = 0
            let taken = Set(functions.values.compactMap(\.nodeNumber))
            while taken.contains(number) { number += 1 }
            function.nodeNumber = number
        } else {
            function.nodeNumber = nil
        }
        sysfs.add(function.driverEntries(self))
    }

    /// Whether vfio-pci takes a device that is offered to it.
    func isTakenByVFIO(_ function: PCIFunction) -> Bool { function.hasIOMMU || release.hasUnsafeNoIOMMUMode }

    /// Whether a driver would take a device.
    func matches(_ driver: String, _ function: PCIFunction) -> Bool {
        if let wanted = function.driverOverride { return wanted == driver }
        if driver == "vfio-pci" {
            return vfioIDs.contains(UInt32(function.pci.vendor) << 16 | UInt32(function.pci.device))
        }
        return function.nativeDriver == driver
    }

    /// Binds a device to a driver.
    ///
    /// - Throws: `EBUSY` for the kernel's own driver while a process holds the group; `EINVAL` from vfio-pci for a device
    ///   without an IOMMU, unless it has its unsafe mode.
    func probe(_ function: PCIFunction, _ driver: String) throws(Errno) {
        if driver == "vfio-pci", !isTakenByVFIO(function) { throw .invalidArgument }
        if driver != "vfio-pci", let group = groups[function.groupNumber], group.container != nil || group.owner != nil
        {
            throw .resourceBusy
        }
        setDriver(function, driver)
    }

    /// Whether a process has the device open; until it closes it, vfio-pci does not let go.
    func isHeld(_ function: PCIFunction) -> Bool { function.fileCount > 0 }
}
