import ArgumentParser
import VFIO
import VFIOMock

/// The machine that a command runs on.
struct MachineOptions: ParsableArguments {
    @Flag(
        help: ArgumentHelp(
            "Use an in-memory machine, for learning and testing.",
            discussion: """
                It has devices that are ready, blocked, free, and bound to a kernel driver; `vfioctl list --mock` shows them. It is \
                created anew for each command, and the host's devices are not accessed.
                """))
    var mock = false

    var kernel: any Kernel { mock ? SampleMachine.shared.kernel : HostKernel() }
}
