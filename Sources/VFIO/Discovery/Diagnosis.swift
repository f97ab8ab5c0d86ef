internal import SystemPackage

/// Determines the cause of a kernel error, for the hint.
///
/// A diagnosis runs after a failure and must not fail itself: what cannot be read is left out.
struct Diagnosis {
    let kernel: any Kernel

    private var sysfs: Sysfs { Sysfs(kernel: kernel) }

    /// Returns the error for a device without a VFIO node.
    ///
    /// - Parameter hint: The hint if the device itself shows no cause.
    func missingNode(of address: DeviceAddress, hint: String) -> VFIOError {
        let operation = "open the device"
        if case .some(false) = try? sysfs.exists(address) {
            let hint =
                address.pci == nil
                ? "the machine has no mediated device of this name; it is made by writing the UUID to "
                    + "/sys/class/mdev_bus/PARENT/mdev_supported_types/TYPE/create"
                : "the machine has no device at this address"
            return VFIOError(.notFound, operation, "\(address)", hint: hint)
        }
        // The driver of a mediated device is its parent's, and always a VFIO driver.
        guard case .pci = address else { return VFIOError(.unsupported, operation, "\(address)", hint: hint) }
        let driver = (try? sysfs.driver(of: address)) ?? nil
        guard let driver else {
            var hint =
                "no driver is bound to it; write vfio-pci to \(Sysfs.folder(of: address))/driver_override and "
                + "the address to /sys/bus/pci/drivers_probe"
            if case .some(.none) = try? sysfs.iommuGroup(of: address) {
                hint += "; it is in no IOMMU group, and then vfio-pci takes it only in its no-IOMMU mode: "
                hint += Self.unsafeModeHint
            }
            return VFIOError(.notBoundToVFIO, operation, "\(address)", hint: hint)
        }
        guard DriverName.isVFIO(driver) else {
            return VFIOError(
                .notBoundToVFIO, operation, "\(address)",
                hint: driver == "pcieport"
                    ? "it is a port, which programs cannot have"
                    : "the driver \(driver) holds it; unbind it and bind the device to vfio-pci")
        }
        if case .some(.none) = try? sysfs.iommuGroup(of: address) {
            return VFIOError(
                .unsupported, operation, "\(address)",
                hint: "the device is in no IOMMU group: the machine has no IOMMU, or the kernel runs without it")
        }
        return VFIOError(.unsupported, operation, "\(address)", hint: "it is bound to \(driver), but \(hint)")
    }

    /// How devices without an IOMMU are opened through VFIO.
    static let unsafeModeHint =
        "it takes a kernel with CONFIG_VFIO_NOIOMMU, and the parameter enable_unsafe_noiommu_mode of the module vfio set "
        + "before the device is bound"

    /// Refuses a device without an IOMMU where the program expects protection, and one with an IOMMU where it does not.
    ///
    /// - Parameter isChosen: Whether the program has chosen to have no protection.
    func requireMatchingIOMMU(of address: DeviceAddress, isNoIOMMU: Bool, expectingNoIOMMU isChosen: Bool)
        throws(VFIOError)
    {
        guard isNoIOMMU != isChosen else { return }
        throw VFIOError(
            .unsupported, "open the device", "\(address)",
            hint: isChosen
                ? "it has an IOMMU: open it in an AddressSpace, where it reaches only what is mapped for it"
                : "it has no IOMMU, so it can reach all of the machine's memory; a program that takes that upon itself "
                    + "opens it in a NoIOMMUAddressSpace")
    }

    /// Does the same for a device known by its group.
    func requireMatchingIOMMU(of address: DeviceAddress, group: Int, expectingNoIOMMU isChosen: Bool) throws(VFIOError)
    {
        let isNoIOMMU = try attempt(
            "find out whether the device has an IOMMU", "\(address)", sysfs.isNoIOMMU(group: group))
        try requireMatchingIOMMU(of: address, isNoIOMMU: isNoIOMMU, expectingNoIOMMU: isChosen)
    }

    /// Returns the devices that keep a group from being viable, with their drivers.
    func blockers(ofGroup group: Int) -> String? {
        guard let group = try? IOMMUGroupInfo(group, kernel: kernel) else { return nil }
        let blockers = group.members.filter { !$0.leavesGroupViable }
        guard !blockers.isEmpty else { return nil }
        return blockers.map(\.holding).joined(separator: ", ")
            + "; every device of the group has to be bound to vfio-pci or to nothing"
    }

    /// Returns the reason why Linux gives no device of a group to a program: the firmware wants a 1:1 mapping.
    func oneToOneMapping(ofGroup group: Int) -> Refusal? {
        guard PCIBus(kernel: kernel).refusesOneToOneMappings,
            let addresses = (try? IOMMUGroupInfo(group, kernel: kernel))?.oneToOneAddresses
        else { return nil }
        return (
            .unsupported,
            "the firmware wants \(addresses) mapped 1:1 for a device of IOMMU group \(group) (RMRR or IVMD), and Linux "
                + "gives no such device to a program; a setting of the firmware may end that"
        )
    }

    /// The meaning of `EPERM` when an IOMMU is to be used: what sysfs shows, or what is possible.
    ///
    /// - Parameters:
    ///   - group: The number of the device's group.
    ///   - module: The one whose parameter allows devices without interrupt remapping; `nil` without an IOMMU, which
    ///     takes a privilege.
    func notPermitted(group: Int?, module: String?) -> Refusal {
        guard let module else { return (.permissionDenied, "it takes CAP_SYS_RAWIO") }
        if let hint = group.flatMap(blockers) { return (.groupNotViable, hint) }
        if let refusal = group.flatMap(oneToOneMapping) { return refusal }
        let remaps = sysfs.allowsUnsafeInterrupts(module) ? true : (try? sysfs.remapsInterrupts()) ?? nil
        if remaps == false {
            return (
                .kernel,
                "the platform does not remap interrupts, so the device could raise those of others; the parameter "
                    + "allow_unsafe_interrupts of the module \(module) allows it all the same, without that protection"
            )
        }
        let use = "a device of its IOMMU group is used by something that sysfs does not show"
        return (
            .kernel,
            remaps == true
                ? use
                : "\(use), or the platform does not remap interrupts; the kernel's log may tell which: dmesg"
        )
    }

    /// The meaning of `EINVAL` when a device is bound to an iommufd.
    ///
    /// That the device is enabled shows nothing: its last driver may have left it so.
    ///
    /// - Parameters:
    ///   - node: The device's node, which `own` has open.
    ///   - isHeld: Whether this process has the device open in the same iommufd.
    func invalidBinding(
        of address: DeviceAddress, group: Int?, node: FilePath, own: FileDescriptor, isHeld: Bool
    ) -> Refusal {
        // A device that the firmware wants mapped 1:1 cannot be open.
        if let refusal = group.flatMap(oneToOneMapping) { return refusal }
        let isOpen = "the device is open already, here or in another program"
        if isHeld || OpenNodes(kernel: kernel).isOpen(node.string, apartFrom: own) { return (.busy, isOpen) }
        // A mediated device has no IOMMU that could be the cause.
        let other = address.pci == nil ? "its driver does not open it" : "its IOMMU is not cache-coherent"
        return (.kernel, "\(isOpen), or \(other); the kernel's log may tell which: dmesg")
    }

    /// Returns a hint about the limit on locked memory for a failed mapping; `nil` if unlimited.
    func memoryLock(wanted byteCount: UInt64) -> String? {
        guard let limit = (try? kernel.memoryLockLimit()) ?? nil else { return nil }
        return "\(byteCount) bytes were to be pinned, and RLIMIT_MEMLOCK allows \(limit) bytes in all"
    }
}
