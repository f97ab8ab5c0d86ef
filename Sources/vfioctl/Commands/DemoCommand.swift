import ArgumentParser
import VFIO
import VFIOMock

struct DemoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo", abstract: "Move bytes from one device to another through a revocable dma-buf.",
        discussion: """
            Exports a BAR of one device as a dma-buf, maps it for another, copies bytes between the two, resets the first \
            device, shows that the kernel has revoked the memory, restores the mapping and copies bytes again.

            Without options it runs on an in-memory mock kernel. With --from and --to it uses devices of this machine (with \
            --mock: of the machine that `vfioctl list --mock` shows), which must be \
            bound to vfio-pci: any device with a memory BAR for --from, and QEMU's edu for --to, because the demo needs a \
            DMA engine that it can control. It needs Linux 6.19 or newer, with iommufd.
            """
    )

    @Flag(help: "Use a mock kernel, as without --from and --to.")
    var mock = false

    @Option(help: ArgumentHelp("The device whose BAR is exported.", valueName: "bdf"), transform: PCIAddress.parse)
    var from: PCIAddress?

    @Option(help: ArgumentHelp("The edu device that reads it by DMA.", valueName: "bdf"), transform: PCIAddress.parse)
    var to: PCIAddress?

    func validate() throws {
        guard (from == nil) == (to == nil) else {
            throw ValidationError("--from and --to go together: both for real devices, neither for the mock kernel")
        }
        if let from, from == to { throw ValidationError("--from and --to have to be two devices") }
    }

    func run() throws {
        if let from, let to {
            let place = mock ? "a mock kernel" : "the kernel of this machine"
            print("swift-vfio demo, on \(place), with the devices \(from) and \(to)\n")
            let machine = SampleMachine.shared
            try
                (mock
                ? Demo(kernel: machine.kernel, exporter: from, importer: to, faults: MockFaults(machine))
                : Demo(kernel: HostKernel(), exporter: from, importer: to, faults: KernelLog())).run()
        } else {
            let (exporter, importer): (PCIAddress, PCIAddress) = ("0000:00:04.0", "0000:00:02.0")
            let machine = MockMachine()
            machine.plug(EduModel(), at: importer)
            machine.plug(NVMeMemoryModel(), at: exporter)
            print(
                "swift-vfio demo, on a mock kernel: nothing of this machine is touched (--from and --to for real devices)\n"
            )
            try Demo(kernel: machine.kernel, exporter: exporter, importer: importer, faults: MockFaults(machine)).run()
        }
    }
}
