internal import SystemPackage

/// The PCI functions of the machine, as sysfs lists them, with their drivers.
///
/// ```swift
/// for function in try PCIBus().functions() where function.isBoundToVFIO { print(function.address) }
/// ```
/// Nothing is opened or changed; see ``DriverBinding`` for changes. No privileges are needed.
public struct PCIBus: Sendable {
    let kernel: any Kernel

    public init(kernel: any Kernel = HostKernel()) {
        self.kernel = kernel
    }

    /// Returns the addresses of all functions, sorted.
    ///
    /// - Throws: `.unsupported` if the kernel has no PCI, or sysfs is not mounted.
    public func addresses() throws(VFIOError) -> [PCIAddress] {
        try names(in: "/sys/bus/pci/devices").compactMap(PCIAddress.init).sorted()
    }

    /// Returns all functions, sorted by address. One that is removed during the read is left out.
    ///
    /// - Parameter unreadable: Receives the error of a function that cannot be read, such as `.unexpectedAnswer` for an
    ///   attribute that holds no number. The others are returned. Without it, the first such error is thrown.
    public func functions(
        unreadable: (VFIOError) throws(VFIOError) -> Void = { (error) throws(VFIOError) in throw error }
    ) throws(VFIOError) -> [PCIFunctionInfo] {
        var found: [PCIFunctionInfo] = []
        for address in try addresses() {
            do throws(VFIOError) {
                found.append(try function(at: address))
            } catch {
                if error.code != .notFound { try unreadable(error) }
            }
        }
        return found
    }

    /// Returns one function.
    ///
    /// - Throws: `.notFound` if there is none at the address, or it is removed during the read; `.unexpectedAnswer` if
    ///   sysfs does not hold a number where one is expected.
    public func function(at address: PCIAddress) throws(VFIOError) -> PCIFunctionInfo {
        let folder = SysfsFolder(kernel: kernel, path: Sysfs.folder(of: .pci(address)), subject: "\(address)")
        let names = Set(try folder.names())
        let parent = try folder.linkTarget()?.removingLastComponent().lastComponent.flatMap { PCIAddress($0.string) }
        var virtualFunctions: [PCIAddress] = []
        for name in names where name.hasPrefix("virtfn") {
            if let address = try folder.linkName(name, in: names).flatMap({ PCIAddress($0) }) {
                virtualFunctions.append(address)
            }
        }
        let group = try folder.linkName("iommu_group", in: names).flatMap { Int($0) }
        let override = try folder.text("driver_override", in: names)
        return PCIFunctionInfo(
            address: address,
            vendorID: try folder.number("vendor"),
            deviceID: try folder.number("device"),
            subsystemVendorID: try folder.number("subsystem_vendor", in: names) ?? 0,
            subsystemID: try folder.number("subsystem_device", in: names) ?? 0,
            classCode: try folder.number("class"),
            revision: try folder.number("revision", in: names) ?? 0,
            parent: parent,
            driver: try folder.linkName("driver", in: names),
            driverOverride: override.flatMap { $0 == "(null)" || $0.isEmpty ? nil : $0 },
            isEnabled: try folder.text("enable", in: names).map { $0 != "0" } ?? false,
            iommuGroup: group,
            hasIOMMU: try group.map { (number) throws(VFIOError) in try !isMadeUp(group: number) } ?? false,
            numaNode: try folder.text("numa_node", in: names).flatMap { Int($0) }.flatMap { $0 < 0 ? nil : $0 },
            vfioNode: names.contains("vfio-dev") ? try folder.names(of: "vfio-dev").first : nil,
            isBootDisplay: try folder.text("boot_vga", in: names) == "1",
            resetMethods: try folder.text("reset_method", in: names)?.split(separator: " ").map(String.init) ?? [],
            physicalFunction: try folder.linkName("physfn", in: names).flatMap { PCIAddress($0) },
            virtualFunctions: virtualFunctions.sorted(),
            virtualFunctionLimit: try folder.number("sriov_totalvfs", in: names)
        )
    }

    /// Returns the devices of an IOMMU group by the kernel's names: addresses, and the UUIDs of mediated devices.
    ///
    /// - Throws: `.notFound` if there is no such group.
    public func devices(inGroup group: Int) throws(VFIOError) -> [DeviceAddress] {
        try attempt(
            "list the devices of an IOMMU group", "IOMMU group \(group)",
            refusals: [.noSuchFileOrDirectory: (.notFound, nil)],
            kernel.names(in: FilePath("/sys/kernel/iommu_groups/\(group)/devices"))
        ).compactMap { DeviceAddress($0) }
    }

    /// Returns whether vfio has created the group for a device without an IOMMU.
    private func isMadeUp(group: Int) throws(VFIOError) -> Bool {
        try attempt(
            "ask whether a group has an IOMMU", "IOMMU group \(group)",
            Sysfs(kernel: kernel).isNoIOMMU(group: group))
    }

    private func names(in folder: FilePath) throws(VFIOError) -> [String] {
        try attempt(
            "list the PCI devices", "\(folder)",
            refusals: [.noSuchFileOrDirectory: (.unsupported, "the kernel has no PCI, or /sys is not mounted")],
            kernel.names(in: folder))
    }
}
