import Foundation
import SystemPackage
import Testing
import VFIO
import VFIOMock

@testable import vfioctl

/// What `vfioctl` changes on the mock machine: drivers, virtual functions.
@Suite struct VFIOCtlChangeTests {
    private let vfioctl = Program(name: "vfioctl")

    @Test func binds() throws {
        let result = try vfioctl.succeed("bind", "--mock", "00:05.0", "00:03.0")
        #expect(
            result.output == """
                0000:00:05.0: nvme → vfio-pci
                0000:00:03.0: no driver → vfio-pci

                """)
    }

    @Test func showsWhatItWouldDo() throws {
        let result = try vfioctl.run("bind", "--mock", "--dry-run", "00:05.0")
        #expect(
            result.output == """
                echo vfio-pci > /sys/bus/pci/devices/0000:00:05.0/driver_override
                echo 0000:00:05.0 > /sys/bus/pci/devices/0000:00:05.0/driver/unbind
                echo 0000:00:05.0 > /sys/bus/pci/drivers_probe

                """)
    }

    @Test(arguments: [
        "bind -n 01:00.1", "bind --group -n 01:00.1 00:04.0", "restore -n 00:04.0 00:02.0", "unbind -n 00:03.0",
        "sriov -n 00:06.0 2",
    ])
    func aDryRunIsAScript(command: String) throws {
        let dry = try vfioctl.run(arguments: command.split(separator: " ").map(String.init) + ["--mock"])
        #expect(dry.status == 0)
        for line in dry.output.split(separator: "\n") { #expect(line.hasPrefix("echo ") || line.hasPrefix("# ")) }
        #expect(try Program(path: "/bin/sh").run("-n", "-c", dry.output).status == 0)
    }

    @Test func tellsOfTheRestOfTheGroup() throws {
        let result = try vfioctl.succeed("bind", "--mock", "01:00.1")
        #expect(result.output.contains("0000:01:00.1: nothing to do, vfio-pci holds it"))
        #expect(
            result.output.contains(
                "programs cannot open it before the rest of IOMMU group 12 is bound too: 0000:01:00.0 (e1000e); "
                    + "vfioctl bind 0000:01:00.0"))
        let all = try vfioctl.run("bind", "--mock", "--group", "01:00.1")
        #expect(all.output.contains("0000:01:00.0: e1000e → vfio-pci"))
        #expect(!all.output.contains("programs cannot open it"))
    }

    @Test func givesBack() throws {
        let result = try vfioctl.succeed("restore", "--mock", "00:04.0")
        #expect(result.output == "0000:00:04.0: vfio-pci → nvme\n")
        let dry = try vfioctl.run("restore", "--mock", "-n", "00:04.0")
        #expect(
            dry.output == """
                echo "" > /sys/bus/pci/devices/0000:00:04.0/driver_override
                echo 0000:00:04.0 > /sys/bus/pci/devices/0000:00:04.0/driver/unbind
                echo 0000:00:04.0 > /sys/bus/pci/drivers_probe

                """)
    }

    /// A program that is killed does not take back what it did.
    @Test(arguments: [nil, "vfio-pci", "other"], ["nvme", nil] as [String?])
    func restoresAfterABindThatWasKilledBetweenAnySteps(override: String?, driver: String?) throws {
        let address: PCIAddress = "0000:00:05.0"
        let folder = FilePath("/sys/bus/pci/devices/\(address)")
        let records = FileManager.default.temporaryDirectory.appendingPathComponent("vfioctl-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: records) }
        var done = 0
        for count in 0... {
            let machine = MockMachine()
            machine.plug(NVMeMemoryModel(), at: address, driver: "nvme")
            let kernel = machine.kernel
            if driver == nil { try kernel.writeFile(folder.appending("driver/unbind"), Array("\(address)".utf8)) }
            if let override { try kernel.writeFile(folder.appending("driver_override"), Array(override.utf8)) }
            let changer = DriverChanger(kernel: kernel, isForced: false, isDryRun: false)
            var previous = try PreviousDrivers(in: FilePath(records.path))
            let plan = try changer.binding.planChange(of: address, to: "vfio-pci")
            try previous.remember(plan)
            for step in plan.steps.prefix(count) {
                try kernel.writeFile(step.path, Array(step.text.utf8))
            }
            // Another process, and another bind that comes through, of which the first record is kept.
            previous = try PreviousDrivers(in: FilePath(records.path))
            if count % 2 == 1 {
                let again = try changer.binding.planChange(of: address, to: "vfio-pci")
                try previous.remember(again)
                try changer.binding.apply(again)
            }
            _ = try changer.restore(address, &previous)
            let function = try PCIBus(kernel: kernel).function(at: address)
            // Without a driver and an override there is no record: the kernel chooses, as the command's help says.
            let isRecorded = driver != nil || override == "other"
            #expect(function.driver == (isRecorded ? driver : "nvme"), "after \(count) steps")
            #expect(function.driverOverride == (isRecorded ? override : nil), "after \(count) steps")
            #expect(try PreviousDrivers(in: FilePath(records.path))[address] == nil)
            done = count
            if count == plan.steps.count { break }
        }
        #expect(done >= 1)
    }

    @Test func unbinds() throws {
        let result = try vfioctl.run("unbind", "--mock", "00:05.0")
        #expect(result.output == "0000:00:05.0: nvme → no driver\n")
        let again = try vfioctl.run("unbind", "--mock", "00:03.0")
        #expect(again.output == "0000:00:03.0: nothing to do, no driver holds it\n")
    }

    @Test func tellsPrograms() throws {
        let reports = try vfioctl.run("bind", "--mock", "--json", "00:05.0").json(as: [[String: Any]].self)
        #expect(reports.count == 1)
        #expect(reports[0]["before"] as? String == "nvme")
        #expect(reports[0]["after"] as? String == "vfio-pci")
        #expect(reports[0]["done"] as? Bool == true)
        #expect((reports[0]["commands"] as? [String])?.count == 3)
    }

    @Test func refusesBridgesAndUnknownDrivers() throws {
        try vfioctl.expectFailure("bind", "--mock", "00:1c.0", complaint: "it is a bridge; it can stay with its driver")
        try vfioctl.expectFailure(
            "bind", "--mock", "--driver", "absent", "00:05.0",
            complaint: "the kernel has no driver absent loaded; /lib/modules has no module of this name for it")
    }

    @Test func makesVirtualFunctions() throws {
        let dry = try vfioctl.run("sriov", "--mock", "--dry-run", "00:06.0", "2")
        #expect(
            dry.output == """
                echo 0 > /sys/bus/pci/devices/0000:00:06.0/sriov_drivers_autoprobe
                echo 2 > /sys/bus/pci/devices/0000:00:06.0/sriov_numvfs
                echo 1 > /sys/bus/pci/devices/0000:00:06.0/sriov_drivers_autoprobe

                """)
        try vfioctl.expectFailure(
            "sriov", "--mock", "00:06.0", "5", complaint: "it can have 0 to 4 virtual functions, not 5")
        try vfioctl.expectFailure(
            "sriov", "--mock", "00:06.0", "2", complaint: "echo 1 > /sys/module/vfio_pci/parameters/enable_sriov")
        let none = try vfioctl.run("sriov", "--mock", "00:02.0", "1")
        #expect(none.errors == "Error: cannot make virtual functions for 0000:00:02.0: it has no SR-IOV\n")
    }

    @Test func setsTokens() throws {
        let uuid = "2ab74924-c335-45f4-9b16-8569e5b08258"
        #expect(try vfioctl.run("vf-token", "--mock", "00:06.0", uuid).output == "\(uuid)\n")
        let random = try vfioctl.run("vf-token", "--mock", "00:06.0").output
        #expect(UUID(uuidString: random.trimmingCharacters(in: .newlines)) != nil)
        #expect(try vfioctl.run("vf-token", "--mock", "00:06.0").output != random)
        #expect(
            try vfioctl.run("vf-token", "--mock", "-n", "00:06.0", uuid).output
                == "would set the token of 0000:00:06.0 to \(uuid)\n")
        let plan = try vfioctl.run("vf-token", "--mock", "-n", "--json", "00:06.0", uuid).json(as: [String: Any].self)
        #expect(plan["token"] as? String == uuid)
        #expect(plan["done"] as? Bool == false)
        let none = try vfioctl.run("vf-token", "--mock", "00:04.0", uuid)
        #expect(none.status == 1)
        try vfioctl.expectFailure(
            "vf-token", "--mock", "00:06.0", "abc", status: 64, complaint: "'abc' is no UUID; one looks like")
    }
}
