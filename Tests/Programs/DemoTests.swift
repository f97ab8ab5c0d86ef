import Testing
import VFIO
import VFIOMock

@testable import vfioctl

@Suite struct DemoTests {
    private let vfioctl = Program(name: "vfioctl")

    @Test func tellsTheWholeStoryOnTheMock() throws {
        let result = try vfioctl.succeed("demo")
        for sentence in [
            "on a mock kernel: nothing of this machine is touched", "64 KiB of BAR 2 of 0000:00:04.0 become a dma-buf",
            "0000:00:02.0 read the BAR by DMA, device to device, and found: \"hello from the other device\"",
            "The kernel has revoked the memory: the mapping is revoked, the dma-buf itself is live.",
            "The same DMA again finds nothing, only zeros. The mock IOMMU has recorded its fault: read(iova: 0x2000, "
                + "by: 0000:00:02.0)",
            "the mapping is live, and 0000:00:02.0 reads \"hello from the other device\"",
            "With its device closed the dma-buf is dead, for good.",
            "Done: all of it happened as told.",
        ] {
            #expect(result.words.contains(sentence))
        }
    }

    @Test func saysWhatAKernelWithContainersOnlyLacks() throws {
        let kernel = AilingKernel(.linux6_1)
        let demo = Demo(kernel: kernel, exporter: "0000:00:04.0", importer: "0000:00:02.0", faults: NoFaults())
        let error = #expect(throws: VFIOError.self) { try demo.run() }
        #expect(error?.code == .unsupported)
        #expect(error?.hint?.contains("CONFIG_IOMMUFD") == true && error?.hint?.contains("AddressSpace(") == false)
    }

    private struct NoFaults: FaultSource {
        func mark() {}
        func describe(of device: DeviceAddress) -> String { "" }
    }

    @Test(arguments: [
        (
            ["--from", "0000:00:04.0"],
            "--from and --to go together: both for real devices, neither for the mock kernel"
        ),
        (["--from", "0000:00:04.0", "--to", "00:04.0"], "--from and --to have to be two devices"),
        (["--from", "four", "--to", "0000:00:02.0"], "'four' is no PCI address; one looks like 0000:00:04.0"),
    ]) func saysWhatIsWrongWithTheArguments(_ arguments: [String], _ complaint: String) throws {
        try vfioctl.expectFailure(arguments: ["demo"] + arguments, status: 64, complaint: complaint)
    }
}
