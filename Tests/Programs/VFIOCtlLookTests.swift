import Foundation
import FoundationXML
import Testing

/// What `vfioctl` shows of the mock machine: `list`, `topology`, `doctor`.
@Suite struct VFIOCtlLookTests {
    private let vfioctl = Program(name: "vfioctl")

    // MARK: list

    @Test func listsTheDevices() throws {
        let result = try vfioctl.run("list", "--mock")
        #expect(result.status == 0)
        #expect(result.errors == "")
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
        let result = try vfioctl.run(arguments: ["list", "--mock", "--json"] + arguments)
        let rows = try #require(try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [[String: Any]])
        #expect(rows.compactMap { $0["address"] as? String } == expected)
    }

    @Test func tellsProgramsMore() throws {
        let result = try vfioctl.run("list", "--mock", "--json", "00:06.0")
        let rows = try #require(try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [[String: Any]])
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
        let result = try vfioctl.run("topology", "--mock")
        #expect(result.status == 0)
        let lines = result.output.split(separator: "\n")
        #expect(lines[0] == "pci0000:00")
        #expect(lines.contains { $0.hasPrefix("└─ 0000:00:1c.0") && $0.hasSuffix("pcieport") })
        #expect(lines.contains { $0.hasPrefix("   ├─ 0000:01:00.0") && $0.contains("┌ group 12") })
        #expect(lines.contains { $0.hasPrefix("   ├─ 0000:01:00.1") && $0.contains("└ group 12") })
        #expect(lines.contains { $0.hasPrefix("   └─ 0000:02:00.1") && $0.contains("└ group 13") })
        #expect(
            lines.last == "IOMMU group 13 is shared: a program gets all of 0000:02:00.0, 0000:02:00.1, or none.")
    }

    @Test func drawsAPicture() throws {
        let result = try vfioctl.run("topology", "--mock", "--format", "svg")
        #expect(result.status == 0)
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
        let result = try vfioctl.run("topology", "--mock", "--format", "json")
        let rows = try #require(try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [[String: Any]])
        #expect(rows.first { $0["address"] as? String == "0000:01:00.1" }?["parent"] as? String == "0000:00:1c.0")
    }

    // MARK: doctor

    @Test func findsNothingWrong() throws {
        let machine = try vfioctl.run("doctor", "--mock")
        #expect(machine.status == 0)
        #expect(machine.output.contains("ok       IOMMU: the kernel uses dmar0 (Intel VT-d)"))
        #expect(machine.output.hasSuffix("Nothing is wrong with this machine. vfioctl doctor BDF looks at a device.\n"))
        let device = try vfioctl.run("doctor", "--mock", "00:04.0")
        #expect(device.status == 0)
        #expect(device.output.contains("ok       open: the device can be opened, through iommufd"))
        #expect(device.output.contains("ok       dma-buf: its memory can be exported, and is revocable"))
        #expect(device.output.hasSuffix("Nothing is wrong: the device can be opened.\n"))
    }

    @Test func tellsWhatTwoDevicesCanDo() throws {
        let result = try vfioctl.run("doctor", "--mock", "00:02.0", "00:04.0")
        #expect(result.status == 0)
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
        let sections = try #require(
            try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [[String: Any]])
        #expect(sections.map { $0["title"] as? String } == ["This machine", "0000:00:05.0"])
        let findings = try #require(sections[1]["findings"] as? [[String: Any]])
        let problem = try #require(findings.first { $0["verdict"] as? String == "problem" })
        #expect(problem["check"] as? String == "driver")
        #expect(problem["remedy"] as? String == "vfioctl bind 0000:00:05.0")
    }
}
