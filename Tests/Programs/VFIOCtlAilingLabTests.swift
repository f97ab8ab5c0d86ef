import Foundation
import Testing
import VFIO

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

/// A machine whose firmware wants memory mapped 1:1 for a device (RMRR).
@Suite(.serialized, .enabled(if: Lab.isMachine("one-to-one"), Lab.hint("one-to-one")))
struct VFIOCtlOneToOneLabTests {
    private let vfioctl = Program(name: "vfioctl")
    private static let cause = "the firmware wants 0xf0000...0xfffff mapped 1:1 for a device of"

    @Test func saysWhyTheDeviceIsRefused() throws {
        let result = try vfioctl.run("info", "00:02.0")
        #expect(result.status == 1)
        #expect(result.errors.contains(Self.cause))
        // That would not help, and is a hole.
        #expect(!result.errors.contains("allow_unsafe_interrupts"))
        let doctor = try vfioctl.run("doctor", "00:02.0")
        #expect(doctor.status == 1)
        #expect(doctor.words.contains("PROBLEM reserved memory: \(Self.cause)"))
        // The others are not concerned.
        #expect(try vfioctl.run("info", "00:04.0").status == 0)
    }

    @Test func saysSoThroughBothInterfaces() throws {
        // Linux 6.1 has no iommufd.
        let hasIOMMUFD = FileManager.default.fileExists(atPath: "/dev/iommu")
        for interface in hasIOMMUFD ? [AddressSpace.Interface.type1, .iommufd] : [.type1] {
            let space = try AddressSpace(interface)
            do throws(VFIOError) {
                try Device(at: "0000:00:02.0", in: space).close()
                Issue.record("the device was opened")
            } catch {
                #expect(error.hint?.contains(Self.cause) == true, "\(error)")
            }
            try Device(at: "0000:00:04.0", in: space).close()
        }
    }
}
