import Foundation
import SystemPackage
import Testing
import VFIO
import VFIOMock

@testable import vfioctl

/// The commands that `doctor` and the hints of errors print: each one works on the machine that it is for.
@Suite struct DoctorCommandTests {
    private let vfioctl = Program(name: "vfioctl")

    /// The commands of vfioctl in a text: the words after it that are a subcommand, options and their arguments.
    private static func commands(in text: String) -> [[String]] {
        text.matches(of: /vfioctl ((?:[a-z][a-z-]+)(?: (?:--[a-z-]+|[0-9a-f:]+\.[0-7]))*)/).map { match in
            match.1.split(separator: " ").map(String.init)
        }
    }

    private func runOnTheSampleMachine(_ text: String) throws {
        for words in Self.commands(in: text) {
            _ = try vfioctl.succeed(arguments: [words[0], "--mock"] + words.dropFirst())
        }
    }

    @Test func thoseForTheSampleMachineWorkThere() throws {
        let rows = try vfioctl.succeed("list", "--mock", "--all", "--json").json(as: [[String: Any]].self)
        let addresses = rows.compactMap { $0["address"] as? String }
        #expect(addresses.count > 9)
        var count = 0
        let pairs = addresses.map { [$0] } + [["00:1f.7"], ["00:02.0", "00:04.0"], ["02:00.1", "00:04.0"]]
        for devices in pairs {
            let sections = try vfioctl.run(arguments: ["doctor", "--mock", "--json"] + devices)
                .json(as: [[String: Any]].self)
            for finding in sections.flatMap({ $0["findings"] as? [[String: Any]] ?? [] }) {
                for key in ["remedy", "advice"] {
                    guard let text = finding[key] as? String else { continue }
                    count += Self.commands(in: text).count
                    try runOnTheSampleMachine(text)
                    if key == "remedy" { #expect(text.hasPrefix("vfioctl "), "\(text)") }
                }
            }
        }
        #expect(count > 5)
    }

    // MARK: Machines that are not in order

    private static let noIOMMU: [String: [String]] = ["/sys/class/iommu": [], "/sys/kernel/iommu_groups": []]
    private static let user = "Uid:\t1000\t1000\t1000\t1000\nCapEff:\t0000000000000000\n"
    private static let modules = "/lib/modules/7.3.0/modules"

    private static func makeMachines() throws -> [AilingKernel] {
        var machines = [AilingKernel(), AilingKernel(.stock), AilingKernel(.linux6_1)]
        func add(_ change: (inout AilingKernel) throws -> Void) rethrows {
            var kernel = AilingKernel()
            try change(&kernel)
            machines.append(kernel)
        }
        for table in ["DMAR", "IVRS", nil] {
            for parameters in ["quiet", "quiet intel_iommu=off noapic", "intel_iommu=on"] {
                add {
                    $0.folders = noIOMMU.merging(["/sys/firmware/acpi/tables": table.map { [$0] } ?? []]) { $1 }
                    $0.files["/proc/cmdline"] = parameters
                }
            }
        }
        let missing: [[String]] = [["/dev/iommu"], ["/dev/vfio/vfio"], ["/dev/iommu", "/dev/vfio/vfio"]]
        for nodes in missing {
            for errno in [Errno.noSuchFileOrDirectory, .permissionDenied, .notPermitted] {
                for list in [nil, "kernel/vfio-pci.ko:", "", "kernel/iommufd.ko:\nkernel/vfio_pci.ko.zst:"] {
                    add {
                        for node in nodes { $0.failures[node] = errno }
                        $0.folders["/sys/bus/pci/drivers"] = ["nvme"]
                        $0.files["/proc/self/status"] = user
                        $0.files["\(modules).dep"] = list
                        $0.files["\(modules).builtin"] = "kernel/drivers/vfio/vfio_iommu_type1.ko\n"
                    }
                }
            }
        }
        add {
            $0.lockLimit = 65536
            $0.files["/proc/self/status"] = user
            $0.failures["/dev/vfio/devices/vfio0"] = .permissionDenied
        }
        try add {
            let group = try $0.kernel.readLink("/sys/bus/pci/devices/0000:00:02.0/iommu_group").lastComponent!.string
            let folder = "/sys/kernel/iommu_groups/\(group)/devices"
            $0.folders[folder] = ["0000:00:02.0", "INTL9C60:00"]
            $0.links["\(folder)/INTL9C60:00/driver"] = "../../../bus/platform/drivers/idma64"
        }
        return machines
    }

    @Test func thoseForOtherMachinesWorkThere() throws {
        var kinds: Set<String> = []
        for kernel in try Self.makeMachines() {
            let findings =
                MachineDoctor(kernel).findings() + kernel.findings(isMachineFine: true)
                + PeerDoctor(kernel: kernel, reader: "0000:00:02.0", owner: "0000:00:04.0").findings()
            for finding in findings {
                if let advice = finding.advice { try runOnTheSampleMachine(advice) }
                guard let remedy = finding.remedy else { continue }
                kinds.insert(try check(remedy, on: kernel))
            }
        }
        #expect(kinds == ["vfioctl", "modprobe", "chmod", "chown", "grep", "echo", "tee"])
    }

    /// Checks what makes a command work, and returns its kind.
    private func check(_ command: String, on kernel: AilingKernel) throws -> String {
        #expect(try Program(path: "/bin/sh").run("-n", "-c", command).status == 0, "\(command)")
        let words = command.split(separator: " ").map(String.init)
        switch words[0] {
        case "vfioctl": try runOnTheSampleMachine(command)
        case "modprobe":
            // Each is installed, and not built in.
            let installed = KernelModules(kernel: kernel)
            let names = words.dropFirst().filter { $0 != "-a" }
            #expect(!names.isEmpty && names.allSatisfy { installed.state(of: $0) == .loadable }, "\(command)")
        case "chmod", "chown":
            // The node is there, and is only forbidden.
            #expect(kernel.failures[words[2]] == .permissionDenied, "\(command)")
        case "grep":
            // GRUB's file is changed in VFIOCtlLookTests, on a copy.
            #expect(command.contains("/etc/default/grub && sed -i.bak") && command.hasSuffix(" && update-grub"))
        case "echo" where words.contains("tee"):
            #expect(words[1] == "':1000" && command.hasSuffix("| tee -a /etc/security/limits.d/vfio.conf"))
            return "tee"
        case "echo":
            // The device has a driver that it can be unbound from.
            let path = try #require(words.last).split(separator: "'").joined()
            #expect(path.hasSuffix("/driver/unbind"))
            #expect(kernel.links[String(path.dropLast("/unbind".count))] != nil, "\(command)")
        default: Issue.record("nothing is known of \(command)")
        }
        return words[0]
    }

    @Test func aModuleThatIsNotThereIsNotLoaded() throws {
        var kernel = AilingKernel()
        kernel.folders["/sys/bus/pci/drivers"] = ["nvme"]
        func finding() throws -> Finding {
            try #require(MachineDoctor(kernel).findings().first { $0.check == "driver vfio-pci" })
        }
        #expect(try finding().remedy == "modprobe vfio-pci")
        kernel.files["\(Self.modules).dep"] = "kernel/other.ko:"
        #expect(try finding().remedy == nil)
        #expect(
            try finding().advice
                == "/lib/modules has no module vfio-pci for this kernel, which was built without it, or lacks the package with "
                + "it: it takes a kernel with CONFIG_VFIO_PCI, and its modules installed")
        kernel.files["\(Self.modules).builtin"] = "kernel/drivers/vfio/pci/vfio-pci.ko\n"
        #expect(try finding().remedy == nil)
        #expect(
            try finding().advice == "the kernel has vfio-pci built in, and its log may tell why it is not there: dmesg")
    }

    // MARK: All texts

    /// A command that a text of the library or the tool names exists, with its options.
    @Test func eachCommandInATextExists() throws {
        let sources = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("Sources")
        var names: [String: Set<String>] = [:]
        let files = try #require(FileManager.default.enumerator(at: sources, includingPropertiesForKeys: nil))
        for case let file as URL in files where file.pathExtension == "swift" {
            let text = try String(contentsOf: file, encoding: .utf8)
            for line in text.split(separator: "\n") where !line.contains("///") {
                for words in Self.commands(in: String(line)) {
                    names[words[0], default: []].formUnion(words.dropFirst().filter { $0.hasPrefix("--") })
                }
            }
        }
        #expect(names.count > 5)
        for (name, options) in names {
            let help = try vfioctl.run("help", name)
            #expect(help.status == 0, "vfioctl \(name)")
            for option in options { #expect(help.output.contains(option), "vfioctl \(name) \(option)") }
        }
    }

    // MARK: Narrow terminals

    /// ArgumentParser breaks no word. The lines that it makes itself, the usage and the last one, are not counted.
    @Test func noWordOfTheHelpIsTooLongForFortyColumns() throws {
        let help = try vfioctl.run("help").output
        let names = help.matches(of: /\n  ([a-z][a-z-]+)\s/).map { String($0.1) }.filter { $0 != "help" }
        #expect(names.contains("doctor") && names.contains("dmabuf"))
        for arguments in [[]] + names.map({ [$0] }) + [["dmabuf", "import"]] {
            let text = try Program(path: "/usr/bin/env")
                .succeed(arguments: ["COLUMNS=40", vfioctl.path, "help"] + arguments).output
            for line in text.split(separator: "\n") where line.count > 40 {
                #expect(line.hasPrefix("USAGE: ") || line.hasPrefix("  See 'vfioctl "), "\(arguments): \(line)")
            }
        }
    }
}
