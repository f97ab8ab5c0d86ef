import VFIO
public import VFIOMock

/// The machine of the tools' `--mock`: the lab's devices at the lab's addresses.
public enum SampleMachine {
    /// The help text of `--mock`.
    public static let help = "Use a machine in memory, for learning and testing."

    /// The description of the machine, for the help's discussion.
    public static let discussion = """
        It has what the project's lab has, at the same addresses: an edu at 0000:00:02.0, shared memory at 0000:00:03.0 and \
        0000:01:00.0, an NVMe disk at 0000:00:04.0, and virtio network cards at 0000:03:00.0 and 0000:04:00.0, whose \
        networks return what they are sent. It is made anew for each command and forgotten after it; nothing of this \
        machine is touched. That of `vfioctl --mock` is another one.
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
