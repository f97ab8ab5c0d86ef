import Foundation
import Testing

/// A machine without an IOMMU.
@Suite(.serialized, .enabled(if: Lab.isMachine("no-iommu"), Lab.hint("no-iommu")))
struct VFIOCtlNoIOMMULabTests {
    private let vfioctl = Program(name: "vfioctl")

    @Test func saysThatThereIsNone() throws {
        let result = try vfioctl.run("doctor", "00:04.0")
        #expect(result.status == 1)
        #expect(result.output.contains("PROBLEM  IOMMU: this virtual machine has none"))
        #expect(result.output.contains("PROBLEM  IOMMU groups: there are none: no device can be opened"))
        #expect(result.output.contains("Next: give it one; QEMU: "))
        let list = try vfioctl.run("list", "00:04.0")
        #expect(list.words.hasSuffix("QEMU NVM Express Controller") || list.words.contains("1b36:0010 - - nvme kernel"))
    }

    @Test func saysWhatABoundDeviceLacks() throws {
        // Without the no-IOMMU mode vfio-pci refuses a device that no IOMMU serves.
        try vfioctl.expectFailure("bind", "00:03.0", complaint: "0000:00:03.0")
        #expect(try vfioctl.run("info", "00:03.0").status == 1)
        #expect(try vfioctl.run("restore", "00:03.0").status == 0)
    }
}

/// A machine with a group that is not viable.
@Suite(.serialized, .enabled(if: Lab.isMachine("blocked"), Lab.hint("blocked")))
struct VFIOCtlBlockedLabTests {
    private let vfioctl = Program(name: "vfioctl")

    @Test func saysWhatBlocksAndHelps() throws {
        try vfioctl.expectFailure(
            "info", "01:00.0",
            complaint: "0000:01:00.2 is held by virtio-pci; every device of the group has to be bound")
        let result = try vfioctl.run("doctor", "01:00.0")
        #expect(result.status == 1)
        #expect(
            result.output.contains(
                "PROBLEM  group members: the group is not viable: 0000:01:00.2 is held by virtio-pci"))
        #expect(try vfioctl.run("list", "01:00.0").words.contains("vfio-pci blocked"))
        #expect(try Lab.follow { try vfioctl.run("doctor", "01:00.0") } == ["vfioctl bind 0000:01:00.2"])
        #expect(try vfioctl.run("info", "01:00.0").status == 0)
    }
}
