import SystemPackage
import VFIO

private func hexadecimal(_ value: some BinaryInteger, _ digits: Int) -> String {
    let text = String(value, radix: 16)
    return String(repeating: "0", count: max(0, digits - text.count)) + text
}

extension PCIFunction {
    var sysfsPath: String {
        if let mediated { return "\(mediated.parent.sysfsPath)/\(mediated.uuid)" }
        let domain = hexadecimal(address.domain, 4)
        let root = "/sys/devices/pci\(domain):00"
        if isOnRootBus { return "\(root)/\(address)" }
        // Each other bus is behind a port of its own, of the root complex: bus 1 behind 1c.0, bus 2 behind 1c.1, …
        let number = Int(address.bus) - 1
        let slot = number < 32 ? 0x1c + number >> 3 : 0x1b - (number - 32) >> 3
        return "\(root)/\(domain):00:\(hexadecimal(slot, 2)).\(number & 7)/\(address)"
    }

    /// Its folder, and the links to it.
    func deviceEntries() -> [Sysfs.Entry] {
        let path = sysfsPath
        let busPath = mediated == nil ? "/sys/bus/pci" : "/sys/bus/mdev"
        var entries: [Sysfs.Entry] = [
            (path, .folder), ("\(path)/subsystem", .link(to: busPath)), ("\(busPath)/devices/\(name)", .link(to: path)),
        ]
        if hasIOMMU { entries += groupEntries() }
        if let physical, let number = physical.virtualFunctions?.functions.firstIndex(where: { $0 === self }) {
            entries.append(("\(path)/physfn", .link(to: physical.sysfsPath)))
            entries.append(("\(physical.sysfsPath)/virtfn\(number)", .link(to: path)))
        }
        return entries
    }

    private func groupEntries() -> [Sysfs.Entry] {
        let group = "/sys/kernel/iommu_groups/\(groupNumber)"
        let entries: [Sysfs.Entry] = [
            (group, .folder), ("\(group)/devices/\(name)", .link(to: sysfsPath)),
            ("\(sysfsPath)/iommu_group", .link(to: group)),
        ]
        if mediated != nil { return entries }
        if !hasIOMMU { return entries + [("\(group)/name", .text("vfio-noiommu"))] }
        let ranges = bus.iommu.configuration.reservedRanges.map {
            "0x\(hexadecimal($0.lowerBound, 16)) 0x\(hexadecimal($0.upperBound, 16)) msi"
        }.joined(separator: "\n")
        return entries + [("\(group)/type", .text("DMA-FQ")), ("\(group)/reserved_regions", .text(ranges))]
    }

    /// The entries of its driver; none without a driver.
    func driverEntries() -> [Sysfs.Entry] {
        guard let driver else { return [] }
        let path = sysfsPath
        let folder = mediated.map { "/sys/bus/mdev/drivers/\($0.parent.name)" } ?? "/sys/bus/pci/drivers/\(driver)"
        var entries: [Sysfs.Entry] = [
            ("\(path)/driver", .link(to: folder)), ("\(folder)/\(name)", .link(to: path)),
        ]
        guard let nodeNumber else { return entries }
        // VFIO creates a group for a device without an IOMMU when it binds it.
        if !hasIOMMU { entries += groupEntries() }
        let mark = hasIOMMU ? "" : "noiommu-"
        if bus.release.hasContainer {
            let group = "/sys/devices/virtual/vfio/\(mark)\(groupNumber)"
            let open: Sysfs.Open = { [unowned bus, groupNumber, hasIOMMU] () throws(Errno) in
                try bus.vfio!.openGroup(groupNumber, hasIOMMU: hasIOMMU)
            }
            entries += [
                (group, .folder), ("/sys/class/vfio/\(mark)\(groupNumber)", .link(to: group)),
                ("/dev/vfio/\(mark)\(groupNumber)", .device(open)),
            ]
        }
        // Without device nodes, the class uses the plain name.
        let name = bus.release.hasDeviceNodes ? "\(mark)vfio\(nodeNumber)" : "vfio\(nodeNumber)"
        let node = "\(path)/vfio-dev/\(name)"
        entries += [
            ("\(path)/vfio-dev", .folder), ("\(node)/device", .link(to: path)),
            ("/sys/class/vfio-dev/\(name)", .link(to: node)),
        ]
        guard bus.release.hasDeviceNodes else { return entries }
        let open: Sysfs.Open = { [unowned bus] () throws(Errno) in bus.vfio!.openDevice(self) }
        return entries + [
            ("\(node)/dev", .text("244:\(nodeNumber)")), ("/dev/vfio/devices", .folder),
            ("/dev/vfio/devices/\(name)", .device(open)),
        ]
    }

    /// The bus reset of a device that is alone on its bus.
    var busResetEntry: Sysfs.Entry { ("\(sysfsPath)/reset_method", .text("bus")) }

    /// Adds the attributes in its folder, which are removed with that.
    func addAttributes() {
        let path = sysfsPath
        let pci = pci
        let sysfs = bus.sysfs
        if mediated != nil {
            return sysfs.addAction("\(path)/remove") { [unowned bus] (text) throws(Errno) in
                guard let value = Int(text) else { throw .invalidArgument }
                return value == 0 || bus.removeMediated(self)
            }
        }
        sysfs.addText("\(path)/vendor", "0x\(hexadecimal(pci.vendor, 4))")
        sysfs.addText("\(path)/device", "0x\(hexadecimal(pci.device, 4))")
        sysfs.addText("\(path)/subsystem_vendor", "0x\(hexadecimal(pci.subsystemVendor, 4))")
        sysfs.addText("\(path)/subsystem_device", "0x\(hexadecimal(pci.subsystem, 4))")
        sysfs.addText("\(path)/class", "0x\(hexadecimal(pci.classCode, 6))")
        sysfs.addText("\(path)/revision", "0x\(hexadecimal(pci.revision, 2))")
        sysfs.addText("\(path)/numa_node", "-1")
        sysfs.addText("\(path)/enable", self.openCount > 0 ? "1" : "0")
        sysfs.addText("\(path)/irq", pci.hasINTx ? "11" : "0")
        sysfs.addText("\(path)/resource", self.resources)
        // They can be mapped in the kernel, and be read in no way.
        for (number, bar) in pci.bars {
            let names = bar.isPrefetchable ? ["resource\(number)", "resource\(number)_wc"] : ["resource\(number)"]
            sysfs.add(names.map { ("\(path)/\($0)", .attribute(read: nil, write: nil)) })
        }
        sysfs.addText("\(path)/modalias", self.modalias)
        sysfs.addText("\(path)/uevent", self.uevent)
        sysfs.addText("\(path)/power_state", self.config.powerState == 0 ? "D0" : "D3hot")
        sysfs.addText("\(path)/power/runtime_status", self.isInLowPower ? "suspended" : "active")
        sysfs.addText("\(path)/power/control", self.powerControl) { (text) throws(Errno) in
            guard text == "auto" || text == "on" else { throw .invalidArgument }
            self.powerControl = text
            return true
        }
        sysfs.addAction("\(path)/remove") { [unowned bus] (text) throws(Errno) in
            guard let value = Int(text) else { throw .invalidArgument }
            return value == 0 || bus.removeBySysfs(self)
        }
        sysfs.add([("\(path)/config", .attribute(read: { self.config.readableHardware }, write: nil))])
        if pci.hasFunctionLevelReset {
            sysfs.addText("\(path)/reset_method", "flr")
            sysfs.add([resetEntry])
        }
        sysfs.addText("\(path)/driver_override", self.driverOverride ?? "(null)") { (name) throws(Errno) in
            self.driverOverride = name.isEmpty ? nil : name
            return true
        }
        guard let own = virtualFunctions else { return }
        sysfs.addText("\(path)/sriov_totalvfs", "\(own.limit)")
        sysfs.addText("\(path)/sriov_offset", "1")
        sysfs.addText("\(path)/sriov_stride", "1")
        // vfio-pci claims the virtual functions of its devices, whatever is written here.
        sysfs.addFlag("\(path)/sriov_drivers_autoprobe", ("1", "0"), own.isProbed) { own.isProbed = $0 }
        sysfs.addText("\(path)/sriov_numvfs", "\(own.functions.count)") { [unowned bus] (text) throws(Errno) in
            try bus.setVirtualFunctions(text, of: self)
        }
    }

    private var modalias: String {
        func digits(_ value: some BinaryInteger, _ count: Int) -> String { hexadecimal(value, count).uppercased() }
        let ids = "v\(digits(pci.vendor, 8))d\(digits(pci.device, 8))sv\(digits(pci.subsystemVendor, 8))"
        let (base, sub, interface) = (pci.classCode >> 16, pci.classCode >> 8 & 0xff, pci.classCode & 0xff)
        return "pci:\(ids)sd\(digits(pci.subsystem, 8))bc\(digits(base, 2))sc\(digits(sub, 2))i\(digits(interface, 2))"
    }

    private var uevent: String {
        func digits(_ value: UInt16) -> String { hexadecimal(value, 4).uppercased() }
        let driver = driver.map { ["DRIVER=\($0)"] } ?? []
        return
            (driver + [
                "PCI_CLASS=\(String(pci.classCode, radix: 16).uppercased())",
                "PCI_ID=\(digits(pci.vendor)):\(digits(pci.device))",
                "PCI_SUBSYS_ID=\(digits(pci.subsystemVendor)):\(digits(pci.subsystem))", "PCI_SLOT_NAME=\(address)",
                "MODALIAS=\(modalias)",
            ]).joined(separator: "\n")
    }

    /// The reset of the function, which is there with a reset method.
    var resetEntry: Sysfs.Entry {
        (
            "\(sysfsPath)/reset",
            .attribute(read: nil) { (text) throws(Errno) in
                guard text == "1" else { throw .invalidArgument }
                Self.resetAll([self])
                return true
            }
        )
    }

    private var resources: String {
        let none = "0x0000000000000000 0x0000000000000000 0x0000000000000000"
        return (0..<13).map { index in
            guard let bar = pci.bars[index], let start = barAddresses[index] else { return none }
            // IORESOURCE_MEM and SIZEALIGN, then MEM_64, PREFETCH with its bit of the BAR.
            let flags: UInt64 =
                0x40200 | (bar.is64Bit ? 0x10_0004 : 0) | (bar.isPrefetchable ? 0x2008 : 0)
            return [start, start + UInt64(bar.byteCount) - 1, flags].map { "0x\(hexadecimal($0, 16))" }
                .joined(separator: " ")
        }.joined(separator: "\n")
    }
}
