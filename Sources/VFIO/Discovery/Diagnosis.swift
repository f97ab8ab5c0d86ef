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
        guard let devices = try? sysfs.devices(inGroup: group) else { return nil }
        let blockers = devices.compactMap { device -> String? in
            guard let driver = (try? sysfs.driver(of: .pci(device))) ?? nil, !DriverName.isHarmless(driver)
            else { return nil }
            return "\(device) is held by \(driver)"
        }
        guard !blockers.isEmpty else { return nil }
        return blockers.joined(separator: ", ")
            + "; every device of the group has to be bound to vfio-pci or to nothing"
    }

    /// Returns a hint about the limit on locked memory for a failed mapping; `nil` if unlimited.
    func memoryLock(wanted byteCount: UInt64) -> String? {
        guard let limit = (try? kernel.memoryLockLimit()) ?? nil else { return nil }
        return "\(byteCount) bytes were to be pinned, and RLIMIT_MEMLOCK allows \(limit) bytes in all"
    }
}
