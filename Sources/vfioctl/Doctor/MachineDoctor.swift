import SystemPackage
import VFIO

/// Checks what every device needs: the IOMMU, kernel modules, nodes in `/dev`, and the user's limits.
struct MachineDoctor {
    let files: KernelFiles

    init(_ kernel: any Kernel) { files = KernelFiles(kernel: kernel) }

    func findings() -> [Finding] {
        // The kernel command line comes before the IOMMU check, because the first problem is the one that the user
        // is told to fix.
        let iommu = iommu()
        return [kernel()] + commandLine(isIOMMUUsed: iommu.verdict == .fine) + [
            iommu, groups(), driver(),
        ]
            + interfaces() + [lockedMemory()]
    }

    // MARK: Kernel

    private func kernel() -> Finding {
        guard let release = files.text("/proc/sys/kernel/osrelease") else {
            return .problem("kernel", "/proc is not mounted", remedy: "mount -t proc proc /proc")
        }
        let version = files.version ?? (0, 0)
        if version < (4, 0) { return .problem("kernel", "Linux \(release) is too old for VFIO's type1v2") }
        if version < (6, 6) {
            return .warning(
                "kernel",
                "Linux \(release): type1 containers only; iommufd for devices came with 6.6, dma-buf export with 6.19",
                advice: "a newer kernel, if dma-bufs are wanted")
        }
        if version < (6, 19) {
            return .warning(
                "kernel", "Linux \(release): no dma-buf export, which came with 6.19",
                advice: "a newer kernel, if dma-bufs are wanted")
        }
        return .fine("kernel", "Linux \(release)")
    }

    // MARK: IOMMU

    private func iommu() -> Finding {
        // The kernel's self-tests create an IOMMU that serves no device.
        let units = (files.names("/sys/class/iommu") ?? []).filter { !$0.hasPrefix("iommufd_selftest") }
        if !units.isEmpty {
            return .fine("IOMMU", "the kernel uses \(units.joined(separator: ", "))\(Self.make(units))")
        }
        if !files.groups.isEmpty { return .fine("IOMMU", "the kernel has made groups for it") }
        let tables = Set(files.names("/sys/firmware/acpi/tables") ?? [])
        if tables.contains("DMAR") {
            let text = "the firmware describes an Intel IOMMU (table DMAR), and the kernel does not use it"
            if has("on", ofParameter: "intel_iommu") {
                return .problem(
                    "IOMMU", text + ", although it is told to (intel_iommu=on)",
                    advice: "look into `dmesg | grep -e DMAR -e IOMMU`; the kernel may lack CONFIG_INTEL_IOMMU")
            }
            return .problem("IOMMU", text, remedy: Self.commandToAdd("intel_iommu=on"), advice: Self.adviceAfterCommand)
        }
        if tables.contains("IVRS") {
            return .problem(
                "IOMMU", "the firmware describes an AMD IOMMU (table IVRS), and the kernel does not use it",
                advice:
                    "look into `dmesg | grep -e AMD-Vi -e IVRS`; the kernel may lack CONFIG_AMD_IOMMU, or its command "
                    + "line switches the IOMMU off")
        }
        let cpu = files.text("/proc/cpuinfo") ?? ""
        if cpu.contains("hypervisor") {
            let maker = files.text("/sys/class/dmi/id/sys_vendor") ?? "QEMU"
            guard maker == "QEMU" else {
                return .problem(
                    "IOMMU", "this virtual machine has none",
                    advice: "give it a virtual IOMMU, if \(maker) has such a setting")
            }
            return .problem(
                "IOMMU", "this virtual machine has none",
                advice: "give it one; QEMU: -machine q35,kernel-irqchip=split -device intel-iommu,intremap=on, "
                    + "and intel_iommu=on on the guest kernel's command line")
        }
        let name =
            cpu.contains("AuthenticAMD") ? "AMD-Vi (IOMMU)" : cpu.contains("GenuineIntel") ? "VT-d" : "the IOMMU (SMMU)"
        return .problem("IOMMU", "the firmware describes none", advice: "switch on \(name) in the firmware's set-up")
    }

    private static func make(_ units: [String]) -> String {
        if units.contains(where: { $0.hasPrefix("dmar") }) { return " (Intel VT-d)" }
        if units.contains(where: { $0.hasPrefix("ivhd") }) { return " (AMD-Vi)" }
        if units.contains(where: { $0.hasPrefix("smmu") }) { return " (Arm SMMU)" }
        return ""
    }

    // MARK: Kernel command line

    /// Kernel parameters that disable what VFIO needs.
    private func commandLine(isIOMMUUsed: Bool) -> [Finding] {
        let check = "kernel command line"
        guard let parameters else { return [] }
        let harmful = parameters.filter {
            ["intel_iommu=off", "amd_iommu=off", "iommu=off", "noapic", "pci=nomsi"].contains($0)
        }
        guard harmful.isEmpty else {
            // If there are IOMMU groups, a device can be opened: the parameter is for another vendor's IOMMU, or for
            // interrupts.
            return [
                Finding(
                    files.groups.isEmpty ? .problem : .warning, check, "it has \(harmful.joined(separator: " "))",
                    remedy: Self.commandToRemove(harmful), advice: Self.adviceAfterCommand)
            ]
        }
        // What is missing there is said with the IOMMU.
        guard isIOMMUUsed else { return [] }
        let relevant = parameters.filter { $0.contains("iommu") || $0.hasPrefix("vfio") }
        return [.fine(check, relevant.isEmpty ? "nothing about the IOMMU" : relevant.joined(separator: " "))]
    }

    private var parameters: [String]? {
        files.text("/proc/cmdline")?.split { $0 == " " || $0 == "\n" }.map(String.init)
    }

    private func has(_ value: String, ofParameter name: String) -> Bool {
        parameters?.contains { parameter in
            parameter.hasPrefix(name + "=")
                && parameter.dropFirst(name.count + 1).split(separator: ",").contains { $0 == value }
        } ?? false
    }

    private static let adviceAfterCommand =
        "then reboot; a boot loader other than GRUB has its own place for the kernel's command line"

    /// Fails without changing anything when GRUB's file has an unexpected format.
    private static func commandToAdd(_ parameter: String) -> String {
        let start = "^GRUB_CMDLINE_LINUX=\""
        return "grep -q '\(start)' /etc/default/grub && "
            + "sed -i.bak 's/\(start)/&\(parameter) /' /etc/default/grub && update-grub"
    }

    /// Removes whole words only: `iommu=off`, but not the end of `amd_iommu=off`. Fails when it finds none.
    private static func commandToRemove(_ parameters: [String]) -> String {
        let words = Set(parameters).sorted().joined(separator: "|")
        let pattern = "^(GRUB_CMDLINE_LINUX[A-Z_]*=.*[\" ])(\(words))([\" ])"
        // One at a time, because adjacent words share a space.
        return "grep -qE '\(pattern)' /etc/default/grub && "
            + "sed -i.bak -E ':a;s/\(pattern)/\\1\\3/;ta' /etc/default/grub && update-grub"
    }

    // MARK: VFIO

    private func groups() -> Finding {
        let check = "IOMMU groups"
        let count = files.groups.count
        if count > 0 { return .fine(check, "\(count)") }
        let madeUp = files.names("/sys/kernel/iommu_groups")?.count ?? 0
        return .problem(
            check,
            madeUp > 0
                ? "there are none but those that vfio has made up for devices without an IOMMU (\(madeUp))"
                : "there are none: no device can be opened", advice: "see to the IOMMU first")
    }

    private func driver() -> Finding {
        let check = "driver vfio-pci"
        let drivers = files.names("/sys/bus/pci/drivers") ?? []
        if drivers.contains("vfio-pci") { return .fine(check, "loaded") }
        // Drivers derived from vfio-pci, such as mlx5_vfio_pci, work too.
        let variants = drivers.filter(DriverName.isVFIO)
        if !variants.isEmpty { return .fine(check, "not loaded, but \(variants.joined(separator: ", "))") }
        let (remedy, advice) = loading([["vfio-pci"]], orBuilding: "CONFIG_VFIO_PCI")
        return .problem(check, "not loaded", remedy: remedy, advice: advice)
    }

    private func interfaces() -> [Finding] {
        let iommufd = files.failureToOpen("/dev/iommu")
        let container = files.failureToOpen("/dev/vfio/vfio")
        let lacksIOMMUFD = KernelFiles.isMissing(iommufd)
        let lacksContainer = KernelFiles.isMissing(container)
        if lacksIOMMUFD && lacksContainer {
            // One of the two interfaces is enough.
            let (remedy, advice) = loading(
                [
                    ["iommufd", "vfio_iommu_type1", "vfio-pci"], ["vfio_iommu_type1", "vfio-pci"],
                    ["iommufd", "vfio-pci"],
                ], orBuilding: "CONFIG_VFIO_PCI, and CONFIG_IOMMUFD or CONFIG_VFIO_IOMMU_TYPE1")
            return [
                .problem(
                    "/dev", "neither /dev/iommu nor /dev/vfio/vfio is there", remedy: remedy, advice: advice)
            ]
        }
        // The interface that the library uses. A failure of the other one does not matter.
        let isThroughContainer = lacksIOMMUFD || files.lacksDeviceNodes
        var findings: [Finding] = []
        if lacksIOMMUFD {
            let (remedy, advice) = loading([["iommufd"]], orBuilding: "CONFIG_IOMMUFD and CONFIG_VFIO_DEVICE_CDEV")
            findings.append(
                .warning(
                    "iommufd", "/dev/iommu is not there: dma-bufs cannot be mapped for devices", remedy: remedy,
                    advice: advice))
        } else {
            findings.append(
                finding("iommufd", "/dev/iommu", iommufd, isNeeded: !isThroughContainer || container != nil))
        }
        if !lacksContainer {
            findings.append(
                finding("type1", "/dev/vfio/vfio", container, isNeeded: isThroughContainer || iommufd != nil))
        } else if isThroughContainer {
            let (remedy, advice) = loading([["vfio_iommu_type1"]], orBuilding: "CONFIG_VFIO_IOMMU_TYPE1")
            findings.append(
                .problem(
                    "type1", "/dev/vfio/vfio is not there, and devices have no nodes of their own", remedy: remedy,
                    advice: advice))
        }
        return findings
    }

    // MARK: Modules

    /// The command that loads the first alternative of which the kernel has all modules, or the advice without one.
    private func loading(
        _ alternatives: [[String]], orBuilding options: String
    ) -> (remedy: String?, advice: String?) {
        let installed = KernelModules(kernel: files.kernel)
        for names in alternatives where !names.contains(where: { installed.state(of: $0) == .missing }) {
            // modprobe does nothing for a module that is built in.
            let modules = names.filter { installed.state(of: $0) == .loadable }
            guard !modules.isEmpty else {
                return (
                    nil,
                    "the kernel has \(names.joined(separator: ", ")) built in, and its log may tell why it is not there: "
                        + "dmesg"
                )
            }
            return ("modprobe \(modules.count > 1 ? "-a " : "")\(modules.joined(separator: " "))", nil)
        }
        let list = alternatives[0].filter { installed.state(of: $0) == .missing }.joined(separator: ", ")
        return (
            nil,
            "/lib/modules has no module \(list) for this kernel, which was built without it, or lacks the package with "
                + "it: it takes a kernel with \(options), and its modules installed"
        )
    }

    /// - Parameter isNeeded: Whether no device can be opened without the node.
    private func finding(_ check: String, _ node: String, _ error: Errno?, isNeeded: Bool) -> Finding {
        let verdict = isNeeded ? Finding.Verdict.problem : .warning
        return switch error {
        case nil: .fine(check, "\(node) can be opened")
        case .permissionDenied:
            // The node alone gives access to no device.
            Finding(verdict, check, "this user may not open \(node)", remedy: "chmod 0666 \(node)")
        case .notPermitted:
            // Root passes the permission check, so EPERM comes from the device cgroup of a container.
            Finding(verdict, check, "this container may not open \(node)", advice: "pass it in (--device \(node))")
        case .some(let error): Finding(verdict, check, "\(node) cannot be opened: \(error)")
        }
    }

    // MARK: Limits

    private static let enough: UInt64 = 64 << 20

    private func lockedMemory() -> Finding {
        let check = "locked memory"
        let limit: UInt64?
        do { limit = try files.kernel.memoryLockLimit() } catch {
            return .warning(check, "RLIMIT_MEMLOCK cannot be read: \(error)")
        }
        guard let limit else { return .fine(check, "without limit") }
        if mayLockAll { return .fine(check, "without limit for this user (CAP_IPC_LOCK)") }
        guard limit < Self.enough else { return .fine(check, "up to \(limit >> 20) MiB") }
        return .warning(
            check, "no more than \(limit >> 10) KiB may be mapped for DMA (RLIMIT_MEMLOCK)",
            // For this user only, by user ID.
            remedy: files.user.map { "echo ':\($0) - memlock unlimited' | tee -a /etc/security/limits.d/vfio.conf" },
            advice: "then log in again, since it holds from the next login on")
    }

    private var mayLockAll: Bool {
        guard let capabilities = files.status("CapEff").flatMap({ UInt64($0, radix: 16) }) else { return false }
        return capabilities & (1 << 14) != 0
    }
}
