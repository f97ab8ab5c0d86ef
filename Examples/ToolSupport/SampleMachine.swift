import VFIO
public import VFIOMock

/// The machine of the tools' `--mock`: the lab's devices at the lab's addresses.
public enum SampleMachine {
    /// The help text of `--mock`.
    public static let help = "Use an in-memory machine, for learning and testing."

    /// The description of the machine, for the help's discussion.
    public static let discussion = """
        It has the devices of the project's lab at the same addresses: an edu at 0000:00:02.0, shared memory at 0000:00:03.0 and \
        0000:01:00.0, an NVMe disk at 0000:00:04.0, and virtio network cards at 0000:03:00.0 and 0000:04:00.0, whose \
        networks return all frames. It is created anew for each command, and the host's devices are not accessed. \
        `vfioctl --mock` has a different machine.
        """

    /// Creates a machine with all devices ready for VFIO.
    public static func make() -> MockMachine {
        let machine = MockMachine()
        machine.plug(EduModel(), at: "0000:00:02.0")
        machine.plug(SharedMemoryModel(), at: "0000:00:03.0")
        machine.plug(NVMeModel(), at: "0000:00:04.0")
        // Two functions behind a port, which a hot reset resets together.
        machine.plug(SharedMemoryModel(), at: "0000:01:00.0", group: 8)
        machine.plug(EduModel(), at: "0000:01:00.1", group: 8)
        machine.plug(VirtioNetModel(), at: "0000:03:00.0")
        machine.plug(VirtioNetModel(macAddress: 0x5254_0000_0008), at: "0000:04:00.0")
        return machine
    }
}
