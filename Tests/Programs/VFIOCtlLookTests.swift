import Foundation
import FoundationXML
import SystemPackage
import Testing
import VFIO
import VFIOMock

@testable import vfioctl

/// What `vfioctl` shows of the mock machine: `list`, `topology`, `doctor`.
@Suite struct VFIOCtlLookTests {
    private let vfioctl = Program(name: "vfioctl")

    // MARK: list

    @Test func listsTheDevices() throws {
        let result = try vfioctl.succeed("list", "--mock")
        let lines = result.output.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
        #expect(lines[0] == ["ADDRESS", "ID", "GROUP", "NUMA", "DRIVER", "VFIO", "DEVICE"])
        #expect(
            lines.dropFirst().map { $0[0] } == [
                "0000:00:02.0", "0000:00:03.0", "0000:00:04.0", "0000:00:05.0", "0000:00:06.0", "0000:01:00.0",
                "0000:01:00.1", "0000:02:00.0", "0000:02:00.1",
            ])
        #expect(
            lines.dropFirst().map { $0[5] } == [
                "ready", "free", "ready", "kernel", "ready", "kernel", "blocked", "ready", "ready",
            ])
        #expect(lines[4][1] == "1b36:0010")
        #expect(lines[4][4] == "nvme")
        // Without colours, since this is no terminal.
        #expect(!result.output.contains("\u{1b}"))
    }

    @Test func showsBridgesWhenAsked() throws {
        let result = try vfioctl.run("list", "--mock", "--all", "--color", "always")
        #expect(result.output.contains("0000:00:1c.0"))
        #expect(result.output.contains("pcieport"))
        #expect(result.output.contains("\u{1b}[1mADDRESS"))
    }

    @Test(
        arguments: [
            (["--driver", "nvme"], ["0000:00:05.0"]),
            (["--driver", "none"], ["0000:00:03.0"]),
            (["--group", "12"], ["0000:01:00.0", "0000:01:00.1"]),
            (["--class", "0108"], ["0000:00:04.0", "0000:00:05.0", "0000:00:06.0"]),
            (["--id", "1234:"], ["0000:00:02.0", "0000:01:00.1", "0000:02:00.1"]),
            (["--id", "8086:10d3"], ["0000:01:00.0"]),
            (["00:02.0", "00:1c.0"], ["0000:00:02.0", "0000:00:1c.0"]),
        ])
    func filters(arguments: [String], expected: [String]) throws {
        let rows = try vfioctl.run(arguments: ["list", "--mock", "--json"] + arguments).json(as: [[String: Any]].self)
        #expect(rows.compactMap { $0["address"] as? String } == expected)
    }

    @Test func tellsProgramsMore() throws {
        let rows = try vfioctl.run("list", "--mock", "--json", "00:06.0").json(as: [[String: Any]].self)
        let row = try #require(rows.first)
        #expect(row["vendor"] as? String == "1b36")
        #expect(row["classCode"] as? String == "010802")
        #expect(row["driver"] as? String == "vfio-pci")
        #expect(row["driverOverride"] as? String == "vfio-pci")
        #expect(row["vfio"] as? String == "ready")
        #expect(row["virtualFunctionLimit"] as? Int == 4)
        #expect(row["numaNode"] == nil)
    }

    @Test func saysThatADeviceIsNotThere() throws {
        let result = try vfioctl.run("list", "--mock", "00:1f.7")
        #expect(result.status == 1)
        #expect(
            result.errors
                == "Error: cannot read what sysfs says of the device for 0000:00:1f.7: No such file or directory "
                + "(ENOENT): the machine has no device at this address\n")
    }

    // MARK: topology

    @Test func drawsTheTree() throws {
        let result = try vfioctl.succeed("topology", "--mock")
        let lines = result.output.split(separator: "\n")
        #expect(lines[0] == "pci0000:00")
        #expect(lines.contains { $0.hasPrefix("├─ 0000:00:1c.0") && $0.hasSuffix("pcieport") })
        #expect(lines.contains { $0.hasPrefix("│  ├─ 0000:01:00.0") && $0.contains("┌ group 12") })
        #expect(lines.contains { $0.hasPrefix("│  └─ 0000:01:00.1") && $0.contains("└ group 12") })
        #expect(lines.contains { $0.hasPrefix("└─ 0000:00:1c.1") && $0.hasSuffix("pcieport") })
        #expect(lines.contains { $0.hasPrefix("   └─ 0000:02:00.1") && $0.contains("└ group 13") })
        #expect(lines.last == "IOMMU group 13 is shared: a program gets all of 0000:02:00.0, 0000:02:00.1, or none.")
    }

    @Test func drawsAPicture() throws {
        let result = try vfioctl.succeed("topology", "--mock", "--format", "svg")
        let parser = XMLParser(data: Data(result.output.utf8))
        #expect(parser.parse())
        for text in ["0000:01:00.1", "group 12", "vfio-pci", "no driver"] { #expect(result.output.contains(text)) }
    }

    @Test func drawsForGraphviz() throws {
        let result = try vfioctl.run("topology", "--mock", "--format", "dot")
        #expect(result.output.hasPrefix("digraph pci {"))
        #expect(result.output.contains("\"0000:00:1c.0\" -> \"0000:01:00.0\";"))
        #expect(result.output.contains("subgraph \"cluster_12\""))
    }

    @Test func drawsForPrograms() throws {
        let rows = try vfioctl.run("topology", "--mock", "--format", "json").json(as: [[String: Any]].self)
        #expect(rows.first { $0["address"] as? String == "0000:01:00.1" }?["parent"] as? String == "0000:00:1c.0")
    }

    // MARK: doctor

    @Test func findsNothingWrong() throws {
        let machine = try vfioctl.succeed("doctor", "--mock")
        #expect(machine.output.contains("ok       IOMMU: the kernel uses dmar0 (Intel VT-d)"))
        #expect(machine.output.hasSuffix("Nothing is wrong with this machine. vfioctl doctor BDF looks at a device.\n"))
        let device = try vfioctl.succeed("doctor", "--mock", "00:04.0")
        #expect(device.output.contains("ok       open: the device can be opened, through iommufd"))
        #expect(device.output.contains("ok       dma-buf: its memory can be exported, and is revocable"))
        #expect(device.output.hasSuffix("Nothing is wrong: the device can be opened.\n"))
    }

    @Test func tellsWhatTwoDevicesCanDo() throws {
        let result = try vfioctl.succeed("doctor", "--mock", "00:02.0", "00:04.0")
        #expect(
            result.output.contains(
                "peer to peer: BAR 2 of 0000:00:04.0 can be mapped for 0000:00:02.0, revocably: live"))
    }

    @Test(
        arguments: [
            ("00:05.0", "driver: nvme of the kernel holds it", "Next: vfioctl bind 0000:00:05.0"),
            ("00:03.0", "driver: none is bound", "Next: vfioctl bind 0000:00:03.0"),
            (
                "01:00.1", "group members: the group is not viable: 0000:01:00.0 is held by e1000e",
                "Next: vfioctl bind 0000:01:00.0"
            ),
            (
                "00:1c.0", "driver: it is a bridge, which programs cannot have",
                "Next: vfioctl list shows the devices that they can"
            ),
            (
                "00:1f.7", "device: the machine has no device at this address",
                "Next: vfioctl list --all shows those that there are"
            ),
        ])
    func saysWhatIsWrongAndWhatToDo(device: String, problem: String, next: String) throws {
        let result = try vfioctl.run("doctor", "--mock", device)
        #expect(result.status == 1)
        #expect(result.output.contains("PROBLEM  \(problem)"))
        #expect(result.output.hasSuffix("\(next)\n"))
    }

    @Test func tellsProgramsWhatItFound() throws {
        let result = try vfioctl.run("doctor", "--mock", "--json", "00:05.0")
        #expect(result.status == 1)
        let sections = try result.json(as: [[String: Any]].self)
        #expect(sections.map { $0["title"] as? String } == ["This machine", "0000:00:05.0"])
        let findings = try #require(sections[1]["findings"] as? [[String: Any]])
        let problem = try #require(findings.first { $0["verdict"] as? String == "problem" })
        #expect(problem["check"] as? String == "driver")
        #expect(problem["remedy"] as? String == "vfioctl bind 0000:00:05.0")
    }

    @Test func givesAdviceWhereNoCommandHelps() throws {
        let sections = try vfioctl.run("doctor", "--mock", "--json", "00:1f.7").json(as: [[String: Any]].self)
        let problem = try #require((sections[1]["findings"] as? [[String: Any]])?.first)
        #expect(problem["remedy"] == nil)
        #expect(problem["advice"] as? String == "vfioctl list --all shows those that there are")
    }

    @Test func opensWithAToken() throws {
        let token = "2ab74924-c335-45f4-9b16-8569e5b08258"
        let refused = try vfioctl.run("doctor", "--mock", "--token", token, "00:02.0")
        #expect(refused.status == 1)
        #expect(refused.output.contains("PROBLEM  open: "))
        #expect(refused.output.contains("the device takes no token"))
        // Of two devices only those get it that have to do with virtual functions.
        #expect(try vfioctl.run("doctor", "--mock", "--token", token, "00:02.0", "00:04.0").status == 0)
    }

    // MARK: doctor, of machines that are not in order

    private static let noIOMMU: [String: [String]] = ["/sys/class/iommu": [], "/sys/kernel/iommu_groups": []]

    private func finding(_ check: String, _ kernel: AilingKernel) throws -> Finding {
        try #require(MachineDoctor(kernel).findings().first { $0.check == check })
    }

    @Test func switchesTheIOMMUOn() throws {
        var kernel = AilingKernel()
        kernel.folders = Self.noIOMMU.merging(["/sys/firmware/acpi/tables": ["DMAR"]]) { $1 }
        kernel.files["/proc/cmdline"] = "quiet\n"
        let off = try finding("IOMMU", kernel)
        #expect(off.verdict == .problem)
        #expect(off.advice?.contains("reboot") == true)
        let command = try #require(off.remedy)
        #expect(!command.contains("reboot"))
        let edited = try edit("GRUB_CMDLINE_LINUX=\"quiet\"\n", command)
        #expect(edited.text == "GRUB_CMDLINE_LINUX=\"intel_iommu=on quiet\"\n")
        #expect(edited.status == 0)
        let other = try edit("GRUB_CMDLINE_LINUX='quiet'\n", command)
        #expect(other.text == "GRUB_CMDLINE_LINUX='quiet'\n")
        #expect(other.status != 0)
    }

    @Test(arguments: [("DMAR", "intel_iommu=on,sm_on", "-e DMAR"), ("IVRS", "quiet", "-e AMD-Vi -e IVRS")])
    func sendsToTheKernelsLog(table: String, parameters: String, hint: String) throws {
        var kernel = AilingKernel()
        kernel.folders = Self.noIOMMU.merging(["/sys/firmware/acpi/tables": [table]]) { $1 }
        kernel.files["/proc/cmdline"] = parameters
        let finding = try finding("IOMMU", kernel)
        #expect(finding.remedy == nil)
        #expect(finding.next.contains("dmesg | grep"))
        #expect(finding.next.contains(hint))
    }

    @Test func findsWhatSwitchesTheIOMMUOff() throws {
        var kernel = AilingKernel()
        kernel.folders = Self.noIOMMU.merging(["/sys/firmware/acpi/tables": ["DMAR"]]) { $1 }
        kernel.files["/proc/cmdline"] = "quiet iommu=off noapic intel_iommu=off"
        let first = try #require(MachineDoctor(kernel).findings().first { $0.verdict == .problem })
        #expect(first.text == "it has iommu=off noapic intel_iommu=off")
        let command = try #require(first.remedy)
        let edited = try edit(
            "GRUB_DEFAULT=0\nGRUB_CMDLINE_LINUX=\"noapic iommu=off amd_iommu=off noapic a intel_iommu=off\"\n", command)
        #expect(edited.status == 0)
        #expect(
            edited.text.split { $0.isWhitespace } == [
                "GRUB_DEFAULT=0", "GRUB_CMDLINE_LINUX=\"", "amd_iommu=off", "a", "\"",
            ])
        #expect(try edit("GRUB_CMDLINE_LINUX=\"amd_iommu=off\"\n", command).status != 0)
    }

    @Test(arguments: ["pci=nomsi", "noapic", "amd_iommu=off"])
    func onlyWarnsWhereThereAreGroups(parameter: String) throws {
        var kernel = AilingKernel()
        kernel.folders["/sys/kernel/iommu_groups"] = ["0"]
        kernel.files["/proc/cmdline"] = parameter
        #expect(try finding("kernel command line", kernel).verdict == .warning)
    }

    @Test func countsNoGroupThatIsMadeUp() throws {
        var kernel = AilingKernel()
        kernel.folders["/sys/kernel/iommu_groups"] = ["0", "1"]
        kernel.folders["/sys/class/vfio"] = ["noiommu-0"]
        #expect(try finding("IOMMU groups", kernel).text == "1")
        kernel.folders["/sys/class/vfio"] = ["noiommu-0", "noiommu-1"]
        #expect(try finding("IOMMU groups", kernel).verdict == .problem)
    }

    @Test func takesADriverMadeFromVFIOPCI() throws {
        var kernel = AilingKernel()
        kernel.folders["/sys/bus/pci/drivers"] = ["mlx5_vfio_pci", "nvme"]
        #expect(try finding("driver vfio-pci", kernel).verdict == .fine)
        kernel.folders["/sys/bus/pci/drivers"] = ["nvme"]
        #expect(try finding("driver vfio-pci", kernel).remedy == "modprobe vfio-pci")
    }

    @Test func loadsAllModules() throws {
        var kernel = AilingKernel()
        // The second node is made before its module is loaded.
        kernel.failures = ["/dev/iommu": .noSuchFileOrDirectory, "/dev/vfio/vfio": .operationNotSupportedByDevice]
        #expect(try finding("/dev", kernel).remedy == "modprobe -a iommufd vfio_iommu_type1 vfio-pci")
    }

    @Test func loadsNoModuleThatTheKernelLacks() throws {
        var kernel = AilingKernel()
        let index = "/lib/modules/7.3.0/modules.dep"
        kernel.folders["/sys/bus/pci/drivers"] = ["nvme"]
        kernel.failures = ["/dev/iommu": .noSuchFileOrDirectory, "/dev/vfio/vfio": .noSuchFileOrDirectory]
        // modprobe takes - and _ for the same, and modules may be compressed.
        kernel.files[index] = "kernel/drivers/vfio/pci/vfio_pci.ko.zst: x\nkernel/drivers/iommu/iommufd/iommufd.ko:\n"
        #expect(try finding("driver vfio-pci", kernel).remedy == "modprobe vfio-pci")
        #expect(try finding("/dev", kernel).remedy == "modprobe -a iommufd vfio-pci")
        kernel.files[index] = "kernel/drivers/vfio/pci/mlx5-vfio-pci.ko:\n"
        for check in ["driver vfio-pci", "/dev"] {
            let finding = try finding(check, kernel)
            #expect(finding.remedy == nil)
            #expect(finding.advice?.hasPrefix("/lib/modules has no module ") == true)
        }
        kernel.failures["/dev/vfio/vfio"] = nil
        #expect(try finding("iommufd", kernel).remedy == nil)
        kernel.failures = ["/dev/vfio/vfio": .noSuchFileOrDirectory]
        kernel.folders["/sys/class/vfio-dev"] = ["vfio0"]
        kernel.folders["/sys/class/vfio-dev/vfio0"] = ["uevent"]
        let type1 = try finding("type1", kernel)
        #expect(type1.remedy == nil && type1.advice?.contains("CONFIG_VFIO_IOMMU_TYPE1") == true)
    }

    @Test func saysNothingGoodOfTheCommandLineWithoutAnIOMMU() throws {
        var kernel = AilingKernel()
        kernel.folders = Self.noIOMMU.merging(["/sys/firmware/acpi/tables": ["DMAR"]]) { $1 }
        #expect(!MachineDoctor(kernel).findings().contains { $0.check == "kernel command line" })
    }

    @Test(arguments: ["QEMU", "VMware, Inc."])
    func knowsTheFlagsOfQEMUOnly(maker: String) throws {
        var kernel = AilingKernel()
        kernel.folders = Self.noIOMMU.merging(["/sys/firmware/acpi/tables": []]) { $1 }
        kernel.files["/proc/cpuinfo"] = "flags\t\t: fpu hypervisor\n"
        kernel.files["/sys/class/dmi/id/sys_vendor"] = maker + "\n"
        let finding = try finding("IOMMU", kernel)
        #expect(finding.text == "this virtual machine has none")
        #expect(finding.next.contains("intel-iommu") == (maker == "QEMU"))
    }

    @Test func seesMembersOfOtherBusesAndReservedMemory() throws {
        var kernel = AilingKernel()
        let group = try kernel.kernel.readLink("/sys/bus/pci/devices/0000:00:02.0/iommu_group").lastComponent!.string
        let folder = "/sys/kernel/iommu_groups/\(group)"
        kernel.folders["\(folder)/devices"] = ["0000:00:02.0", "INTL9C60:00"]
        let shared = try #require(kernel.findings(isMachineFine: false).first { $0.check == "group members" })
        #expect(shared.text == "it shares its group with INTL9C60:00, which are not in the way")
        kernel.links["\(folder)/devices/INTL9C60:00/driver"] = "../../../bus/platform/drivers/idma64"
        let blocked = try #require(kernel.findings(isMachineFine: true).last)
        #expect(blocked.verdict == .problem)
        #expect(blocked.text == "the group is not viable: INTL9C60:00 is held by idma64")
        #expect(blocked.remedy == "echo 'INTL9C60:00' > '\(folder)/devices/INTL9C60:00/driver/unbind'")
        kernel.links = [:]
        kernel.files["\(folder)/reserved_regions"] = "0x00000000bdf83000 0x00000000bdf84fff direct\n"
        let reserved = try #require(kernel.findings(isMachineFine: true).last)
        #expect(reserved.verdict == .problem && reserved.check == "reserved memory")
        #expect(reserved.text.hasPrefix("the firmware wants 0xbdf83000...0xbdf84fff mapped 1:1"))
        // An old kernel asks no such thing of an AMD machine, and the device is opened.
        kernel.files["/proc/sys/kernel/osrelease"] = "6.1.0"
        kernel.folders["/sys/class/iommu"] = ["ivhd0"]
        let findings = kernel.findings(isMachineFine: true)
        #expect(findings.first { $0.check == "reserved memory" }?.verdict == .warning)
        #expect(findings.contains { $0.check == "open" && $0.verdict == .fine })
    }

    @Test func bindsAnEndpointOfABridgeClass() throws {
        struct Switch: MockDevice {
            let pci = MockPCIFunction(vendor: 0x10de, device: 0x22a3, classCode: 0x068000, isExpress: true)
        }
        let machine = MockMachine()
        machine.plug(Switch(), at: "0000:05:00.0", driver: nil)
        let findings = DeviceDoctor(kernel: machine.kernel, address: "0000:05:00.0").findings(isMachineFine: true)
        #expect(findings.first { $0.check == "driver" }?.remedy == "vfioctl bind 0000:05:00.0")
    }

    @Test func asksOnlyForTheNodeThatIsNeeded() throws {
        var kernel = AilingKernel()
        kernel.failures = ["/dev/vfio/vfio": .permissionDenied]
        #expect(try finding("type1", kernel).verdict == .warning)
        kernel.failures["/dev/iommu"] = .permissionDenied
        #expect(try finding("iommufd", kernel).verdict == .problem)
        #expect(try finding("iommufd", kernel).remedy == "chmod 0666 /dev/iommu")
        // Devices without nodes of their own are reached through their groups.
        kernel.folders = ["/sys/class/vfio-dev": ["vfio0"], "/sys/class/vfio-dev/vfio0": ["uevent"]]
        kernel.failures = ["/dev/iommu": .permissionDenied]
        #expect(try finding("iommufd", kernel).verdict == .warning)
        kernel.failures = ["/dev/vfio/vfio": .permissionDenied]
        #expect(try finding("type1", kernel).verdict == .problem)
    }

    @Test func tellsAContainerFromAUser() throws {
        var kernel = AilingKernel()
        kernel.failures = ["/dev/iommu": .notPermitted, "/dev/vfio/devices/vfio0": .notPermitted]
        let machine = try finding("iommufd", kernel)
        #expect(machine.text == "this container may not open /dev/iommu")
        #expect(machine.next == "pass it in (--device /dev/iommu)")
        let device = try #require(kernel.findings(isMachineFine: false).last)
        #expect(device.text == "this container may not open /dev/vfio/devices/vfio0")
        #expect(device.next == "pass it in (--device /dev/vfio/devices/vfio0)")
    }

    @Test func letsOneUserLockMemory() throws {
        var kernel = AilingKernel()
        kernel.lockLimit = 65536
        kernel.files["/proc/self/status"] = "Uid:\t1000\t1000\t1000\t1000\nCapEff:\t0000000000000000\n"
        let finding = try finding("locked memory", kernel)
        #expect(finding.verdict == .warning)
        #expect(finding.remedy == "echo ':1000 - memlock unlimited' | tee -a /etc/security/limits.d/vfio.conf")
        #expect(finding.advice?.contains("log in again") == true)
    }

    @Test func looksAtTheNodeThatIsOpened() throws {
        var kernel = AilingKernel()
        kernel.files["/proc/self/status"] = "Uid:\t1000\t1000\t1000\t1000\n"
        // That of its group can be opened, and is no help.
        kernel.failures = ["/dev/vfio/devices/vfio0": .permissionDenied]
        let finding = try #require(kernel.findings(isMachineFine: true).last)
        #expect(finding.verdict == .problem)
        #expect(finding.remedy == "chown 1000 /dev/vfio/devices/vfio0")
    }

    @Test func seesThatADeviceDoesNotAnswer() throws {
        let kernel = AilingKernel()
        kernel.machine.setAnswering(false, at: "0000:00:02.0")
        let finding = try #require(kernel.findings(isMachineFine: true).last)
        #expect(finding.verdict == .problem)
        #expect(finding.text == "the device does not answer: all of it reads as ones")
        kernel.machine.setAnswering(true, at: "0000:00:02.0")
        #expect(!kernel.findings(isMachineFine: true).contains { $0.verdict == .problem })
    }

    @Test func namesThoseWhoHaveTheDeviceOpen() throws {
        var kernel = AilingKernel()
        kernel.files["/sys/bus/pci/devices/0000:00:02.0/enable"] = "1\n"
        kernel.folders["/proc"] = ["7"]
        kernel.folders["/proc/7/fd"] = ["3"]
        // Nobody is seen to have it open, so the kernel is asked.
        #expect(kernel.findings(isMachineFine: true).contains { $0.check == "open" && $0.verdict == .fine })
        kernel.links["/proc/7/fd/3"] = "/dev/vfio/devices/vfio0"
        kernel.files["/proc/7/comm"] = "a\u{1b}[31mb\n"
        let finding = try #require(kernel.findings(isMachineFine: true).last)
        #expect(finding.text == "a program has the device open: a[31mb (7)")
        #expect(finding.next == "end that program")
    }

    @Test func onlyWarnsOfWhatTwoDevicesCannotDo() throws {
        let kernel = AilingKernel(.linux6_1)
        let findings = PeerDoctor(kernel: kernel, reader: "0000:00:02.0", owner: "0000:00:04.0").findings()
        #expect(findings.map(\.verdict) == [.warning, .warning])
        // The demo needs the mapping.
        #expect(findings.first?.remedy == nil)
        let newer = PeerDoctor(kernel: AilingKernel(), reader: "0000:00:02.0", owner: "0000:00:04.0").findings()
        #expect(newer.map(\.verdict) == [.warning, .fine])
        #expect(newer.first?.remedy == "vfioctl demo --from 0000:00:04.0 --to 0000:00:02.0")
        // The demo makes only QEMU's edu read.
        let others = PeerDoctor(kernel: kernel, reader: "0000:00:04.0", owner: "0000:00:02.0").findings()
        #expect(others.first?.remedy == nil && others.first?.advice != nil)
    }

    /// Runs a command on a copy of GRUB's file, without what makes GRUB's own from it.
    private func edit(_ text: String, _ command: String) throws -> (text: String, status: Int32) {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("vfioctl-grub-\(UUID().uuidString)")
        defer { for suffix in ["", ".bak"] { try? FileManager.default.removeItem(atPath: file.path + suffix) } }
        try text.write(to: file, atomically: true, encoding: .utf8)
        let place = "/etc/default/grub"
        #expect(command.contains(place) && command.hasSuffix(" && update-grub"))
        let local = command.replacingOccurrences(of: place, with: file.path)
            .replacingOccurrences(of: " && update-grub", with: "")
        let result = try Program(path: "/bin/sh").run("-c", local)
        return (try String(contentsOf: file, encoding: .utf8), result.status)
    }
}
