import VFIO
import VFIOMock

/// The machine of `--mock`: small, with the common cases of real machines.
///
/// - 00:02.0 an edu device, bound to vfio-pci, alone in its group
/// - 00:03.0 a shared-memory device without a driver
/// - 00:04.0 an NVMe disk that `vfioctl bind` took from the kernel's driver; `restore` returns it
/// - 00:05.0 an NVMe disk, bound to the kernel's driver
/// - 00:06.0 a disk controller with SR-IOV, bound to vfio-pci, with up to four virtual functions
/// - 01:00.0, 01:00.1 behind a port: a network card bound to the kernel's driver, and in its group an edu device that
///   is blocked by it
/// - 02:00.0, 02:00.1 two devices that share a group and a bus, both ready; a hot reset resets both
enum SampleMachine {
    static let shared = make()

    /// The records of `bind` on this machine.
    static let previousDrivers: [PCIAddress: PreviousDrivers.Record] = ["0000:00:04.0": .init(driver: "nvme")]

    /// The first disk, with memory decode enabled.
    static func openDisk() throws(VFIOError) -> Device {
        let disk = try Device(at: "0000:00:04.0", in: AddressSpace(kernel: shared.kernel))
        try disk.config.updateCommand { $0.insert(.memoryDecode) }
        return disk
    }

    private static func make() -> MockMachine {
        let machine = MockMachine()
        machine.plug(Plain(vendor: 0x8086, device: 0x29c0, classCode: 0x060000), at: "0000:00:00.0", driver: nil)
        machine.plug(EduModel(), at: "0000:00:02.0")
        machine.plug(SharedMemoryModel(), at: "0000:00:03.0", driver: nil)
        machine.plug(NVMeMemoryModel(), at: "0000:00:04.0", driver: "nvme")
        machine.plug(NVMeMemoryModel(), at: "0000:00:05.0", driver: "nvme")
        machine.plug(NVMePhysicalFunctionModel(virtualFunctionLimit: 4), at: "0000:00:06.0")
        for port in ["0000:00:1c.0", "0000:00:1c.1"] as [PCIAddress] {
            machine.plug(
                Plain(vendor: 0x1b36, device: 0x000c, classCode: 0x060400, isExpress: true), at: port,
                driver: "pcieport")
        }
        let group = 12
        machine.plug(
            Plain(vendor: 0x8086, device: 0x10d3, classCode: 0x020000, isExpress: true), at: "0000:01:00.0",
            group: group, driver: "e1000e")
        machine.plug(EduModel(), at: "0000:01:00.1", group: group)
        machine.plug(SharedMemoryModel(), at: "0000:02:00.0", group: group + 1)
        machine.plug(EduModel(), at: "0000:02:00.1", group: group + 1)
        let binding = DriverBinding(kernel: machine.kernel)
        do { try binding.apply(binding.planChange(of: "0000:00:04.0", to: "vfio-pci")) } catch {
            preconditionFailure("the sample machine refuses what every machine does: \(error)")
        }
        return machine
    }
}

/// A device with an identity only, for discovery.
private struct Plain: MockDevice {
    let pci: MockPCIFunction

    init(vendor: UInt16, device: UInt16, classCode: UInt32, isExpress: Bool = false) {
        pci = MockPCIFunction(
            vendor: vendor, device: device, classCode: classCode, bars: [0: .registers(4096)], isExpress: isExpress)
    }
}
