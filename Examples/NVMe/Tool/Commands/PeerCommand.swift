import ArgumentParser
import NVMe
import ToolSupport
import VFIO
import VFIOMock

/// `nvmectl peer`.
struct PeerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "peer",
        abstract: "Read from the disk directly into another device's memory, and show its revocation.",
        discussion: """
            Writes a pattern to the disk, reads it back into a BAR of another device through a dma-buf, and verifies it there. \
            Then the other device is reset: the next read fails with an error, and the disk and the driver continue to work. The mapping is \
            restored, and the read works again.

            At the end, and after an error, the previous content of the disk is restored, but not if the program is killed or the \
            machine fails, so choose unused blocks. The start of the other device's largest BAR is overwritten.

            Both devices must be bound to vfio-pci. It needs Linux 6.19 or newer, with iommufd.
            """)

    @OptionGroup var disk: DiskOptions

    @Option(
        help: ArgumentHelp("The device whose memory is the destination.", valueName: "bdf"), transform: PCIAddress.parse
    )
    var into: PCIAddress

    @Option(help: "The first block to use on the disk. The pattern overwrites it temporarily.")
    var block: UInt64

    @Option(help: "The number of bytes to read, a multiple of 4096.")
    var size = 256 << 10

    func validate() throws {
        guard size > 0, size % 4096 == 0 else { throw ValidationError("--size is a multiple of 4096") }
        guard into != disk.address else { throw ValidationError("--into has to be another device than the disk") }
    }

    func run() throws {
        print(
            "nvmectl peer, on \(disk.mock ? "a mock kernel" : "the kernel of this machine"): from \(disk.address)",
            "into \(into)\n")
        try PeerStory(
            kernel: disk.makeKernel(), diskAddress: disk.address, peerAddress: into, namespaceID: disk.namespace,
            block: block, byteCount: size
        ).run()
    }
}
