import SystemPackage
import VFIO

/// Checks one device, from its driver to its device node, and opens it when no check has failed.
struct DeviceDoctor {
    let kernel: any Kernel
    let address: PCIAddress
    /// The VF token to open the device with.
    var token: VFToken?

    private var files: KernelFiles { KernelFiles(kernel: kernel) }
    private var bus: PCIBus { PCIBus(kernel: kernel) }

    /// - Parameter isMachineFine: Whether the machine's checks have passed, so that the device can be opened.
    func findings(isMachineFine: Bool) -> [Finding] {
        let function: PCIFunctionInfo
        do throws(VFIOError) {
            function = try bus.function(at: address)
        } catch {
            return [
                .problem("device", error.hint ?? "\(error)", advice: "vfioctl list --all shows those that there are")
            ]
        }
        var findings = [Finding.fine("device", "\(address) is there: \(PCINames(for: [function]).title(of: function))")]
        if isSilent {
            return findings + [
                .problem(
                    "config space", "the device does not answer: all of it reads as ones",
                    advice: "it lost its power or its link, or did not come back from a reset or low power; "
                        + "the kernel log may tell; a power cycle of the slot or the machine is the last resort")
            ]
        }
        findings += [driver(function), group(function)].compactMap { $0 } + viability(function)
        guard !findings.contains(where: { $0.verdict == .problem }) else { return findings }
        findings += node(function)
        guard isMachineFine, !findings.contains(where: { $0.verdict == .problem }) else { return findings }
        return findings + open()
    }

    /// Whether the device's registers read as all ones. The kernel shows this part of config space to all users.
    private var isSilent: Bool {
        guard let bytes = try? kernel.readFile(FilePath("/sys/bus/pci/devices/\(address)/config")) else { return false }
        // Not the IDs, which are all ones in a virtual function as well.
        return bytes.count >= 16 && bytes[8..<16].allSatisfy { $0 == 0xff }
    }

    // MARK: Driver and group

    private func driver(_ function: PCIFunctionInfo) -> Finding {
        if function.isBoundToVFIO { return .fine("driver", function.driver ?? "") }
        if function.isPlatformBridge {
            return .problem(
                "driver", "it is a bridge, which programs cannot have",
                advice: "vfioctl list shows the devices that they can")
        }
        guard let driver = function.driver else {
            return .problem("driver", "none is bound", remedy: "vfioctl bind \(address)")
        }
        do throws(VFIOError) {
            let uses = try bus.uses(of: address)
            if uses.isEmpty {
                return .problem("driver", "\(driver) of the kernel holds it", remedy: "vfioctl bind \(address)")
            }
            return .problem(
                "driver", "\(driver) of the kernel holds it, and \(uses.map { "\($0)" }.joined(separator: ", "))",
                advice: "end that use; after that, vfioctl bind \(address) takes the device")
        } catch { return .problem("driver", "\(driver) of the kernel holds it; \(error)") }
    }

    private func group(_ function: PCIFunctionInfo) -> Finding? {
        if let group = function.iommuGroup {
            guard !function.isBoundToVFIO || function.hasIOMMU else {
                return .problem(
                    "IOMMU group", "\(group) is made up: no IOMMU stands between the device and all of memory",
                    advice: "use a device behind an IOMMU; or, in a program that may, NoIOMMUAddressSpace")
            }
            return .fine("IOMMU group", "\(group)")
        }
        return .problem("IOMMU group", "it is in none", advice: "see to the IOMMU first")
    }

    private func viability(_ function: PCIFunctionInfo) -> [Finding] {
        guard let number = function.iommuGroup else { return [] }
        let group: IOMMUGroupInfo
        do throws(VFIOError) { group = try bus.iommuGroup(number) } catch {
            return [.problem("group members", "\(error)")]
        }
        let others = group.members.filter { $0.address != address }
        guard !others.isEmpty else {
            return [.fine("group members", "it is alone in its group")] + reservedMemory(group)
        }
        let blockers = others.filter { !$0.leavesGroupViable }
        guard !blockers.isEmpty else {
            return [
                .fine(
                    "group members",
                    "it shares its group with \(others.map(\.name).joined(separator: ", ")), which are not in the way"
                )
            ] + reservedMemory(group)
        }
        let functions = blockers.compactMap(\.address)
        // vfioctl binds PCI devices; one of another bus can only be taken from its driver.
        let commands =
            (functions.isEmpty
                ? [] : ["vfioctl bind \(functions.map { "\($0)" }.joined(separator: " "))"])
            + blockers.filter { $0.address == nil }.map {
                "echo '\($0.name)' > '/sys/kernel/iommu_groups/\(number)/devices/\($0.name)/driver/unbind'"
            }
        return [
            .problem(
                "group members",
                "the group is not viable: \(blockers.map(\.holding).joined(separator: ", "))",
                remedy: commands.joined(separator: "; "))
        ]
    }

    /// Memory that the firmware wants mapped 1:1 for a device of the group.
    private func reservedMemory(_ group: IOMMUGroupInfo) -> [Finding] {
        guard let addresses = group.oneToOneAddresses else { return [] }
        return [
            Finding(
                bus.refusesOneToOneMappings ? .problem : .warning, "reserved memory",
                "the firmware wants \(addresses) mapped 1:1 for a device of the group (RMRR or IVMD), and Linux gives no such "
                    + "device to a program", advice: "a setting of the firmware may end that")
        ]
    }

    // MARK: Nodes

    /// Checks that the user may access the node that the library opens: the device's own node, or the group's node if
    /// devices have no nodes or iommufd is not available.
    private func node(_ function: PCIFunctionInfo) -> [Finding] {
        let check = "device node"
        let own = function.vfioNode.map { "/dev/vfio/devices/\($0)" }
        let shared = function.iommuGroup.map { "/dev/vfio/\($0)" }
        // A program may hold either node open. An enabled device is not evidence of use: a driver may have left it
        // enabled.
        let holders = holders([own, shared].compactMap { $0 })
        if function.isEnabled && !holders.isEmpty {
            return [.problem(check, "a program has the device open\(holders)", advice: "end that program")]
        }
        let isThroughIOMMUFD = !KernelFiles.isMissing(files.failureToOpen("/dev/iommu")) && !files.lacksDeviceNodes
        guard let node = (isThroughIOMMUFD ? own : nil) ?? shared else { return [] }
        switch files.failureToOpen(node) {
        case nil: return [.fine(check, "\(node) can be opened")]
        case .permissionDenied:
            return [.problem(check, "this user may not open \(node)", remedy: files.user.map { "chown \($0) \(node)" })]
        case .notPermitted:
            return [.problem(check, "this container may not open \(node)", advice: "pass it in (--device \(node))")]
        case .resourceBusy:
            return [.problem(check, "a program has \(node) open\(holders)", advice: "end that program")]
        case .some(let error) where KernelFiles.isMissing(error):
            return [
                .problem(
                    check, "there is none: \(node)",
                    advice: "/dev has to be a devtmpfs, and visible here; a container has to be given the node")
            ]
        case .some(let error): return [.problem(check, "\(node) cannot be opened: \(error)")]
        }
    }

    /// The processes that have a node open, among those that this user may inspect.
    private func holders(_ nodes: [String]) -> String {
        var names: [Int: String] = [:]
        for holder in OpenNodes(kernel: kernel).holders(of: Set(nodes)) { names[holder.process] = holder.name }
        let list = names.sorted { $0.key < $1.key }.map { "\($0.value) (\($0.key))" }
        return list.isEmpty ? "" : ": \(list.joined(separator: ", "))"
    }

    // MARK: Opening

    private func open() -> [Finding] {
        do throws(VFIOError) {
            let space = try AddressSpace(kernel: kernel)
            let device = try Device(at: address, in: space, token: token)
            let findings = try features(device)
            try device.close()
            return findings
        } catch { return [.problem("open", "\(error)")] }
    }

    private func features(_ device: borrowing Device) throws(VFIOError) -> [Finding] {
        var findings = [Finding.fine("open", "the device can be opened, through \(device.space.interface)")]
        findings.append(
            device.info.canReset
                ? .fine("reset", "it can be reset alone")
                : .warning("reset", "it cannot be reset alone, so it keeps the state that its last user left"))
        findings.append(
            try device.supports(.dmaBuf)
                ? .fine("dma-buf", "its memory can be exported, and is revocable")
                : .warning(
                    "dma-buf", "its memory cannot be exported",
                    advice: "peer-to-peer DMA takes Linux 6.19 with CONFIG_VFIO_PCI_DMABUF"))
        let ranges = try device.space.iovaRanges()
        if let last = ranges.last {
            let width = 64 - last.upperBound.rawValue.leadingZeroBitCount
            let text = "DMA addresses of \(width) bits, in \(ranges.count) ranges"
            findings.append(width < 48 ? .warning("IOVA", text) : .fine("IOVA", text))
        }
        return findings
    }
}
