import Foundation
import Testing

/// `vfioctl` on a real kernel and its devices. They are everybody's, so each test leaves them as it found them.
@Suite(.serialized, .enabled(if: Lab.isMachine("standard"), Lab.hint("standard")))
struct VFIOCtlLabTests {
    private let vfioctl = Program(name: "vfioctl")

    @Test func listsTheDevices() throws {
        let result = try vfioctl.succeed("list")
        let lines = result.output.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
        let states = Dictionary(uniqueKeysWithValues: lines.dropFirst().map { ($0[0], $0[5]) })
        #expect(states["0000:00:02.0"] == "ready")
        #expect(states["0000:00:04.0"] == "ready")
        #expect(states["0000:00:1d.0"] == "kernel")
        #expect(states["0000:41:01.0"] == "unprotected")
        let tree = try vfioctl.run("topology")
        #expect(tree.output.contains("is shared: a program gets all of 0000:01:00.0, 0000:01:00.1, or none."))
        #expect(tree.output.contains("│  └─ 0000:01:00.1"))
    }

    // MARK: doctor

    @Test func findsNothingWrong() throws {
        let result = try vfioctl.succeed("doctor", "00:02.0", "00:04.0")
        #expect(result.output.contains("ok       IOMMU: the kernel uses dmar0 (Intel VT-d)"))
        #expect(result.output.contains("ok       open: the device can be opened, through iommufd"))
        #expect(result.output.contains("BAR 2 of 0000:00:04.0 can be mapped for 0000:00:02.0, revocably: live"))
    }

    @Test func helpsAUserWithoutPermission() throws {
        // The host's folders may be closed to others, so the program goes to where anybody may run it.
        _ = try Lab.shell(
            "mkdir -p /tmp/tool && cp $(which vfioctl) /tmp/tool/ && chmod 0755 /tmp/tool /tmp/tool/vfioctl")
        let user = "setpriv --reuid=65534 --regid=65534 --clear-groups /tmp/tool/vfioctl"
        let first = try Lab.shell("\(user) doctor 00:04.0")
        #expect(first.status == 1)
        #expect(first.output.contains("PROBLEM  iommufd: this user may not open /dev/iommu"))
        #expect(first.output.contains("→ chmod 0666 /dev/iommu"))
        let commands = try Lab.follow { try Lab.shell("\(user) doctor 00:04.0") }
        #expect(commands.first == "chmod 0666 /dev/iommu")
        #expect(commands.last?.hasPrefix("chown 65534 /dev/vfio/") == true)
        #expect(try Lab.shell("\(user) info 00:04.0").status == 0)
        _ = try Lab.shell("chown root /dev/vfio/* /dev/vfio/devices/*; chmod 0600 /dev/iommu")
    }

    @Test func leadsFromAnUnboundDeviceToTheDemo() throws {
        #expect(try vfioctl.run("unbind", "00:04.0").output == "0000:00:04.0: vfio-pci → no driver\n")
        let commands = try Lab.follow { try vfioctl.run("doctor", "00:04.0") }
        #expect(commands == ["vfioctl bind 0000:00:04.0"])
        let demo = try vfioctl.succeed("demo", "--from", "00:04.0", "--to", "00:02.0")
        #expect(demo.output.contains("Done: all of it happened as told."))
    }

    // MARK: Drivers

    @Test func takesADiskAndGivesItBack() throws {
        #expect(try vfioctl.run("restore", "00:04.0").output == "0000:00:04.0: vfio-pci → nvme\n")
        #expect(try vfioctl.run("list", "00:04.0").words.contains("nvme kernel"))
        #expect(try vfioctl.run("bind", "00:04.0").output == "0000:00:04.0: nvme → vfio-pci\n")
        #expect(try Lab.shell("cat /run/vfioctl/previous-drivers").output == "0000:00:04.0 nvme\n")
        #expect(try vfioctl.run("info", "00:04.0").status == 0)
        #expect(try vfioctl.run("restore", "00:04.0").output == "0000:00:04.0: vfio-pci → nvme\n")
        #expect(try Lab.shell("cat /run/vfioctl/previous-drivers").output == "")
        #expect(try vfioctl.run("bind", "00:04.0").status == 0)
    }

    @Test func refusesWhatIsInUse() throws {
        #expect(try vfioctl.run("restore", "03:00.0").output == "0000:03:00.0: vfio-pci → virtio-pci\n")
        let name = try Lab.shell("ls /sys/bus/pci/devices/0000:03:00.0/virtio*/net").words
        #expect(
            try Lab.shell("busybox ip link set \(name) up && busybox ip addr add 10.1.2.3/24 dev \(name)").status == 0)
        let refused = try vfioctl.run("bind", "03:00.0")
        #expect(refused.status == 1)
        #expect(
            refused.errors == "Error: cannot take the device from its driver for 0000:03:00.0: the network interface "
                + "\(name) is up, and connected or part of another one; --force takes it all the same\n")
        #expect(try vfioctl.run("bind", "--force", "03:00.0").output == "0000:03:00.0: virtio-pci → vfio-pci\n")
    }

    @Test func makesVirtualFunctions() throws {
        try vfioctl.expectFailure(
            "sriov", "02:00.0", "2", complaint: "echo 1 > /sys/module/vfio_pci/parameters/enable_sriov")
        #expect(try Lab.shell("echo 1 > /sys/module/vfio_pci/parameters/enable_sriov").status == 0)
        #expect(try vfioctl.run("sriov", "02:00.0", "2").output == "0000:02:00.1\n0000:02:00.2\n")
        #expect(try vfioctl.run("sriov", "02:00.0", "0").output == "0000:02:00.0 has no virtual functions\n")
        #expect(try Lab.shell("echo 0 > /sys/module/vfio_pci/parameters/enable_sriov").status == 0)
    }

    // MARK: Devices

    @Test func looksIntoDevices() throws {
        let info = try vfioctl.run("info", "00:04.0").words
        #expect(info.contains("0000:00:04.0 through iommufd"))
        #expect(info.contains("bar2 4M rw all of it"))
        #expect(info.contains("msix 65"))
        let config = try vfioctl.run("config", "00:04.0")
        #expect(config.output.hasPrefix("1b36:0010  class 010802"))
        #expect(config.output.contains("MSI-X: 65 vectors, off, table in BAR 0 at 0x2000"))
        #expect(try vfioctl.run("config", "--hex", "00:02.0").output.hasPrefix("00: 34 12 e8 11 "))
    }

    @Test func reachesRegisters() throws {
        #expect(try vfioctl.run("read", "00:02.0", "bar0", "0").output == "0x010000ed\n")
        #expect(try vfioctl.run("write", "00:02.0", "bar0", "4", "0x5", "--verify").output == "0xfffffffa\n")
    }

    @Test func resets() throws {
        #expect(try vfioctl.run("reset", "00:04.0").output == "0000:00:04.0: reset\n")
        #expect(try vfioctl.run("reset", "00:02.0").status == 1)
        let hot = try vfioctl.run("hot-reset", "01:00.0")
        #expect(hot.output == "0000:01:00.0, 0000:01:00.1: reset together\n", "\(hot.errors)")
    }

    // MARK: dma-bufs

    @Test func handsADMABufToAnotherProcess() throws {
        let result = try Lab.shell(
            "vfioctl dmabuf export 00:04.0 bar2 0..64K --name window -- vfioctl dmabuf import --for 00:02.0")
        #expect(result.status == 0, "\(result.errors)")
        #expect(result.output.hasPrefix("0000:00:02.0 reaches 65536 bytes at 0x"))
    }

    @Test func handsADMABufOverASocket() throws {
        let result = try Lab.shell(
            """
            vfioctl dmabuf export 00:04.0 bar2 all --socket /tmp/window & exporter=$!
            until [ -S /tmp/window ]; do sleep 0.1; kill -0 $exporter || exit 9; done
            vfioctl dmabuf import --for 00:02.0 --socket /tmp/window || exit 8
            wait $exporter
            """)
        #expect(result.status == 0, "\(result.errors)")
        #expect(result.output.hasPrefix("0000:00:02.0 reaches 4194304 bytes at 0x"))
    }
}
