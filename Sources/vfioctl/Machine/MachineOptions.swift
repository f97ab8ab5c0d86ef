import ArgumentParser
import VFIO
import VFIOMock

/// The machine that a command runs on.
struct MachineOptions: ParsableArguments {
    @Flag(
        help: ArgumentHelp(
            "Use a machine in memory, for learning and testing.",
            discussion: """
                It has a device in each state that vfioctl tells apart: `vfioctl list --mock` shows them. It is made anew for \
                each command and forgotten after it; nothing of this machine is touched.
                """))
    var mock = false

    var kernel: any Kernel { mock ? SampleMachine.shared.kernel : HostKernel() }
}
