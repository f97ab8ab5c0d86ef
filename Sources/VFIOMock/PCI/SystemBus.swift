import SystemPackage
import VFIO

/// The open functions of the nodes in `/dev/vfio`.
protocol DeviceNodes: AnyObject {
    func openGroup(_ number: Int, hasIOMMU: Bool) throws(Errno) -> any FileOperations
    func openDevice(_ function: PCIFunction) -> any FileOperations
    /// Whether a process holds a group, which keeps kernel drivers from binding its devices.
    func isGroupHeld(_ number: Int) -> Bool
}

/// The devices of the machine and their drivers.
final class SystemBus {
    let iommu: SystemIOMMU
    private(set) var functions: [PCIAddress: PCIFunction] = [:]
    private var groups: [Int: [PCIFunction]] = [:]
    private var buses: [Int: [PCIFunction]] = [:]
    /// The numbers of `/dev/vfio/devices/vfioN` in use.
    private var nodes: Set<Int> = []
    private(set) var mediatedFunctions: [DeviceUUID: PCIFunction] = [:]
    var mediatedParents: [String: MediatedParent] = [:]
    /// The kernel drivers that devices were plugged in with.
    private(set) var nativeDrivers: Set<String> = []
    /// The IDs that vfio-pci was told to bind (`new_id`).
    var vfioIDs: Set<UInt32> = []
    /// Whether vfio-pci allows virtual functions (its parameter `enable_sriov`).
    var allowsVirtualFunctions = false
    let sysfs = Sysfs()
    weak var vfio: (any DeviceNodes)?

    private var nextLowBAR: UInt64 = 0xc000_0000
    private var nextHighBAR: UInt64 = 0x40_0000_0000

    init(_ iommu: SystemIOMMU) {
        self.iommu = iommu
        addKernelFiles()
    }

    var core: Core { iommu.core }
    var release: MockRelease { iommu.release }
    var memory: ProcessMappings { iommu.memory }

    // MARK: Functions

    func functions(inGroup number: Int) -> [PCIFunction] { groups[number, default: []] }

    func functions(onBusOf function: PCIFunction) -> [PCIFunction] { buses[Self.bus(function), default: []] }

    private static func bus(_ function: PCIFunction) -> Int {
        Int(function.address.domain) << 8 | Int(function.address.bus)
    }

    /// Adds a device without a driver.
    private func add(_ function: PCIFunction) {
        functions[function.address] = function
        if let mediated = function.mediated { mediatedFunctions[mediated.uuid] = function }
        groups[function.groupNumber, default: []].append(function)
        groups[function.groupNumber]?.sort { $0.address < $1.address }
        buses[Self.bus(function), default: []].append(function)
        buses[Self.bus(function)]?.sort { $0.address < $1.address }
        sysfs.add(function.deviceEntries())
        function.addAttributes()
        updateBusReset(beside: function)
    }

    /// A write to the `remove` file of a device. Returns whether it was removed: not while a process has it open.
    func removeBySysfs(_ function: PCIFunction) -> Bool {
        // First the virtual functions, as vfio-pci does.
        guard removeVirtualFunctions(of: function) else { return false }
        if isHeld(function) {
            function.interrupts.requestRelease()
            return false
        }
        remove(function)
        return true
    }

    /// Removes a device that is pulled out, now or when its last file closes. Returns whether it was removed.
    @discardableResult
    func unplug(_ function: PCIFunction) -> Bool {
        function.isUnplugged = true
        for virtual in function.virtualFunctions?.functions ?? [] { virtual.isUnplugged = true }
        return removeBySysfs(function)
    }

    /// Goes on with an unplug that a file held up.
    func fileWasClosed(_ function: PCIFunction) {
        guard function.isUnplugged, functions[function.address] === function else { return }
        // A virtual function goes with its physical one, if that was unplugged.
        _ = removeBySysfs(function.physical.flatMap { $0.isUnplugged ? $0 : nil } ?? function)
    }

    /// Unbinds and removes a device.
    private func remove(_ function: PCIFunction) {
        setDriver(function, nil)
        functions[function.address] = nil
        if let mediated = function.mediated { mediatedFunctions[mediated.uuid] = nil }
        groups[function.groupNumber]?.removeAll { $0 === function }
        if groups[function.groupNumber]?.isEmpty == true { groups[function.groupNumber] = nil }
        buses[Self.bus(function)]?.removeAll { $0 === function }
        sysfs.remove(function.deviceEntries())
        updateBusReset(beside: function)
    }

    private var nextGroupNumber: Int { (groups.keys.max() ?? 0) + 1 }

    /// Assigns physical addresses to a function's BARs, each aligned to its size and to a page.
    func placeBARs(_ pci: MockPCIFunction) -> [Int: UInt64] {
        var addresses: [Int: UInt64] = [:]
        for (number, bar) in pci.bars.sorted(by: { $0.key < $1.key }) {
            let size = UInt64(max(bar.byteCount, 4096))
            func place(_ next: inout UInt64) {
                addresses[number] = (next + size - 1) & ~(size - 1)
                next = (next + size - 1) & ~(size - 1) + size
            }
            if bar.is64Bit { place(&nextHighBAR) } else { place(&nextLowBAR) }
        }
        precondition(nextLowBAR <= 0xfe00_0000, "the 32-bit BARs do not fit below 4 GiB: make some of them 64-bit")
        return addresses
    }

    func plug(_ device: some MockDevice, at address: PCIAddress, group: Int?, driver: String?, hasIOMMU: Bool) {
        precondition(functions[address] == nil, "there is a device at \(address) already")
        precondition(hasIOMMU || group == nil, "a device without an IOMMU has a group of its own")
        let native = driver.flatMap { $0 == "vfio-pci" ? nil : $0 }
        let function: PCIFunction
        do throws(Errno) {
            function = try PCIFunction(
                device, at: address, group: group ?? nextGroupNumber, on: self, nativeDriver: native,
                hasIOMMU: hasIOMMU)
        } catch {
            preconditionFailure("no memory for the BARs of \(address): \(error)")
        }
        if let native, nativeDrivers.insert(native).inserted { addDriver(native) }
        add(function)
        if driver == "vfio-pci" { function.driverOverride = driver }
        if driver != "vfio-pci" || isTakenByVFIO(function) { setDriver(function, driver) }
        function.call { (model, bus) in model.start(bus: bus) }
    }

    // MARK: Drivers

    func setDriver(_ function: PCIFunction, _ driver: String?) {
        sysfs.remove(function.driverEntries())
        function.driver = driver
        function.virtualFunctions?.forgetToken()
        if let number = function.nodeNumber { nodes.remove(number) }
        function.nodeNumber = driver == "vfio-pci" ? (0...).first { !nodes.contains($0) } : nil
        if let number = function.nodeNumber { nodes.insert(number) }
        sysfs.add(function.driverEntries())
    }

    /// Whether vfio-pci accepts a device.
    private func isTakenByVFIO(_ function: PCIFunction) -> Bool { function.hasIOMMU || release.hasUnsafeNoIOMMUMode }

    func matches(_ driver: String, _ function: PCIFunction) -> Bool {
        if let wanted = function.driverOverride { return wanted == driver }
        if driver == "vfio-pci" {
            return vfioIDs.contains(UInt32(function.pci.vendor) << 16 | UInt32(function.pci.device))
        }
        return function.nativeDriver == driver
    }

    /// Binds a device to a driver.
    ///
    /// - Throws: `EBUSY` for a kernel driver while a process holds the group; `EINVAL` from vfio-pci for a device
    ///   without an IOMMU, unless the unsafe mode is on.
    func probe(_ function: PCIFunction, _ driver: String) throws(Errno) {
        if driver == "vfio-pci", !isTakenByVFIO(function) { throw .invalidArgument }
        if driver != "vfio-pci", vfio?.isGroupHeld(function.groupNumber) == true { throw .resourceBusy }
        setDriver(function, driver)
    }

    /// Whether a process has the device open, which delays an unbind from vfio-pci.
    func isHeld(_ function: PCIFunction) -> Bool { function.fileCount > 0 }

    // MARK: Virtual functions

    /// A write to `sriov_numvfs`. Returns whether it is complete: not while a process has a function open that is to be
    /// removed.
    func setVirtualFunctions(_ text: String, of function: PCIFunction) throws(Errno) -> Bool {
        guard let own = function.virtualFunctions, let count = UInt16(text).map(Int.init) else {
            throw .invalidArgument
        }
        if count > own.limit { throw .outOfRange }
        if count == own.functions.count { return true }
        // Only vfio-pci supports it.
        guard function.driver == "vfio-pci", allowsVirtualFunctions else { throw .noSuchFileOrDirectory }
        if count == 0 { return removeVirtualFunctions(of: function) }
        if !own.functions.isEmpty { throw .resourceBusy }
        guard let model = function.model as? any SingleRootIOVDevice else { return true }
        for number in 0..<count {
            let virtual = try PCIFunction(
                model.makeVirtualFunction(number), at: virtualAddress(number, of: function), group: nextGroupNumber,
                on: self, physical: function)
            own.functions.append(virtual)
            add(virtual)
            virtual.driverOverride = "vfio-pci"
            setDriver(virtual, "vfio-pci")
            virtual.call { (model, bus) in model.start(bus: bus) }
        }
        function.config.setVirtualFunctions(count)
        return true
    }

    /// Removes all virtual functions and returns whether it did: not while a process has one open.
    func removeVirtualFunctions(of function: PCIFunction) -> Bool {
        guard let own = function.virtualFunctions else { return true }
        let held = own.functions.filter { isHeld($0) }
        for virtual in held { virtual.interrupts.requestRelease() }
        guard held.isEmpty else { return false }
        // One may have been unplugged alone.
        for virtual in own.functions where functions[virtual.address] === virtual { remove(virtual) }
        own.functions = []
        function.config.setVirtualFunctions(0)
        return true
    }

    /// The addresses are consecutive; beyond the 8th they continue in the next slot.
    private func virtualAddress(_ number: Int, of function: PCIFunction) -> PCIAddress {
        let (domain, bus) = (function.address.domain, function.address.bus)
        let position = Int(function.address.device) << 3 + Int(function.address.function) + 1 + number
        guard position < 256,
            let address = PCIAddress(
                domain: domain, bus: bus, device: UInt8(position >> 3), function: UInt8(position & 7)),
            functions[address] == nil
        else { preconditionFailure("there is no room for virtual function \(number) of \(function.address)") }
        return address
    }

    // MARK: Mediated devices

    func createMediated(_ text: String, _ parent: MediatedParent, _ type: String) throws(Errno) {
        guard let uuid = DeviceUUID(text), let make = parent.types[type] else { throw .invalidArgument }
        if mediatedFunctions[uuid] != nil { throw .fileExists }
        if parent.available == 0 { throw .noSpace }
        // The mock's devices have PCI addresses; those of mediated ones are in a domain that sysfs does not show.
        var slot: UInt8 = 0
        while functions[Self.hiddenAddress(slot)] != nil { slot += 1 }
        let function = try PCIFunction(
            make(), at: Self.hiddenAddress(slot), group: nextGroupNumber, on: self,
            mediated: MediatedName(uuid: uuid, parent: parent))
        add(function)
        parent.available -= 1
        setDriver(function, "vfio-pci")
        function.call { (model, bus) in model.start(bus: bus) }
    }

    private static func hiddenAddress(_ slot: UInt8) -> PCIAddress {
        PCIAddress(domain: .max, bus: slot, device: 0, function: 0)!
    }

    /// A write to the `remove` file of a mediated device. Returns whether it was removed: not while a process has it
    /// open.
    func removeMediated(_ function: PCIFunction) -> Bool {
        if isHeld(function) {
            function.interrupts.requestRelease()
            return false
        }
        remove(function)
        function.mediated?.parent.available += 1
        return true
    }
}
