import SystemPackage
import VFIO

/// Looks at what every device needs: the IOMMU, the kernel's modules, the nodes in `/dev`, the limits of the user.
struct MachineDoctor {
    let files: KernelFiles

    init(_ kernel: any Kernel) { files = KernelFiles(kernel: kernel) }

    func findings() -> [Finding] {
        [kernel(), iommu()] + commandLine() + [groups(), driver()] + interfaces() + [lockedMemory()]
    }

    // MARK: Kernel

    private func kernel() -> Finding {
        guard let release = files.text("/proc/sys/kernel/osrelease") else {
            return .problem("kernel", "/proc is not mounted", remedy: "mount -t proc proc /proc")
        }
        let numbers = release.split { !$0.isNumber }.prefix(2).compactMap { Int($0) }
        let version = (numbers.first ?? 0, numbers.dropFirst().first ?? 0)
        if version < (4, 0) { return .problem("kernel", "Linux \(release) is too old for VFIO's type1v2", remedy: nil) }
        if version < (6, 6) {
            return .warning(
                "kernel",
                "Linux \(release): type1 containers only; iommufd for devices came with 6.6, dma-buf export with 6.19",
                remedy: "a newer kernel, if dma-bufs are wanted")
        }
        if version < (6, 19) {
            return .warning(
                "kernel", "Linux \(release): no dma-buf export, which came with 6.19",
                remedy: "a newer kernel, if dma-bufs are wanted")
        }
        return .fine("kernel", "Linux \(release)")
    }

    // MARK: IOMMU

    private func iommu() -> Finding {
        // The kernel's own tests make a unit that serves no device.
        let units = (files.names("/sys/class/iommu") ?? []).filter { !$0.hasPrefix("iommufd_selftest") }
        if !units.isEmpty {
            return .fine("IOMMU", "the kernel uses \(units.joined(separator: ", "))\(Self.make(units))")
        }
        if files.names("/sys/kernel/iommu_groups")?.isEmpty == false {
            return .fine("IOMMU", "the kernel has made groups for it")
        }
        let tables = Set(files.names("/sys/firmware/acpi/tables") ?? [])
        if tables.contains("DMAR") {
            return .problem(
                "IOMMU", "the firmware describes an Intel IOMMU (table DMAR), and the kernel does not use it",
                remedy: Self.kernelParameter("intel_iommu=on"))
        }
        if tables.contains("IVRS") {
            return .problem(
                "IOMMU", "the firmware describes an AMD IOMMU (table IVRS), and the kernel does not use it",
                remedy: Self.kernelParameter("amd_iommu=on"))
        }
        let cpu = files.text("/proc/cpuinfo") ?? ""
        if cpu.contains("hypervisor") {
            return .problem(
                "IOMMU", "this virtual machine has none",
                remedy: "give it one; QEMU: -machine q35,kernel-irqchip=split -device intel-iommu,intremap=on, "
                    + "and intel_iommu=on on the guest kernel's command line")
        }
        let name =
            cpu.contains("AuthenticAMD") ? "AMD-Vi (IOMMU)" : cpu.contains("GenuineIntel") ? "VT-d" : "the IOMMU (SMMU)"
        return .problem("IOMMU", "the firmware describes none", remedy: "switch on \(name) in the firmware's set-up")
    }

    private static func make(_ units: [String]) -> String {
        if units.contains(where: { $0.hasPrefix("dmar") }) { return " (Intel VT-d)" }
        if units.contains(where: { $0.hasPrefix("ivhd") }) { return " (AMD-Vi)" }
        if units.contains(where: { $0.hasPrefix("smmu") }) { return " (Arm SMMU)" }
        return ""
    }

    private static func kernelParameter(_ parameter: String) -> String {
        "sed -i 's/^GRUB_CMDLINE_LINUX=\"/&\(parameter) /' /etc/default/grub && update-grub && reboot"
    }

    /// Parameters that switch off what VFIO needs.
    private func commandLine() -> [Finding] {
        guard let line = files.text("/proc/cmdline") else { return [] }
        let words = line.split(separator: " ").map(String.init)
        let harmful = words.filter {
            ["intel_iommu=off", "amd_iommu=off", "iommu=off", "noapic", "pci=nomsi"].contains($0)
        }
        guard harmful.isEmpty else {
            let list = harmful.joined(separator: " ")
            return [
                .problem(
                    "kernel command line", "it has \(list)",
                    remedy:
                        "sed -i 's/ *\\(\(harmful.joined(separator: "\\|"))\\)//g' /etc/default/grub && update-grub && reboot"
                )
            ]
        }
        let relevant = words.filter { $0.contains("iommu") || $0.hasPrefix("vfio") }
        return [
            .fine("kernel command line", relevant.isEmpty ? "nothing about the IOMMU" : relevant.joined(separator: " "))
        ]
    }

    private func groups() -> Finding {
        let count = files.names("/sys/kernel/iommu_groups")?.count ?? 0
        return count > 0
            ? .fine("IOMMU groups", "\(count)")
            : .problem("IOMMU groups", "there are none: no device can be opened", remedy: "see to the IOMMU first")
    }

    // MARK: VFIO

    private func driver() -> Finding {
        files.names("/sys/bus/pci/drivers/vfio-pci") != nil
            ? .fine("driver vfio-pci", "loaded")
            : .problem("driver vfio-pci", "not loaded", remedy: "modprobe vfio-pci")
    }

    private func interfaces() -> [Finding] {
        let iommufd = files.failureToOpen("/dev/iommu")
        let container = files.failureToOpen("/dev/vfio/vfio")
        var findings: [Finding] = []
        let isMissing = { (error: Errno?) in error == .noSuchFileOrDirectory || error == .noSuchAddressOrDevice }
        if isMissing(iommufd) && isMissing(container) {
            return [
                .problem(
                    "/dev", "neither /dev/iommu nor /dev/vfio/vfio is there",
                    remedy: "modprobe iommufd vfio_iommu_type1 vfio")
            ]
        }
        findings.append(
            isMissing(iommufd)
                ? .warning(
                    "iommufd", "/dev/iommu is not there: dma-bufs cannot be mapped for devices",
                    remedy: "modprobe iommufd; if there is no such module, a kernel with CONFIG_IOMMUFD and "
                        + "CONFIG_VFIO_DEVICE_CDEV")
                : finding("iommufd", "/dev/iommu", iommufd))
        if !isMissing(container) { findings.append(finding("type1", "/dev/vfio/vfio", container)) }
        return findings
    }

    private func finding(_ check: String, _ node: String, _ error: Errno?) -> Finding {
        switch error {
        case nil: .fine(check, "\(node) can be opened")
        case .permissionDenied:
            .problem(
                check, "this user may not open \(node)",
                // The node by itself gives no device: those have nodes of their own.
                remedy: "chmod 0666 \(node)")
        case .some(let error): .problem(check, "\(node) cannot be opened: \(error)", remedy: nil)
        }
    }

    // MARK: Limits

    private static let enough: UInt64 = 64 << 20

    private func lockedMemory() -> Finding {
        let check = "locked memory"
        let limit: UInt64?
        do {
            limit = try files.kernel.memoryLockLimit()
        } catch {
            return .warning(check, "RLIMIT_MEMLOCK cannot be read: \(error)", remedy: nil)
        }
        guard let limit else { return .fine(check, "without limit") }
        if mayLockAll { return .fine(check, "without limit for this user (CAP_IPC_LOCK)") }
        guard limit < Self.enough else { return .fine(check, "up to \(limit >> 20) MiB") }
        return .warning(
            check, "no more than \(limit >> 10) KiB may be mapped for DMA (RLIMIT_MEMLOCK)",
            remedy: "echo \"* - memlock unlimited\" | tee /etc/security/limits.d/vfio.conf, and log in again")
    }

    private var mayLockAll: Bool {
        guard let capabilities = files.status("CapEff").flatMap({ UInt64($0, radix: 16) }) else { return false }
        return capabilities & (1 << 14) != 0
    }
}
