import Edu
import VFIO

/// Demonstrates a revocable dma-buf with two devices.
struct Demo {
    let kernel: any Kernel
    let exporter: PCIAddress
    let importer: PCIAddress
    let faults: any FaultSource

    private static let windowSize: UInt64 = 64 << 10
    private static let lineWidth = 100
    private static let greeting = "hello from the other device"

    func run() throws {
        say("Open. Both devices go into one IO address space: what they see of memory is what we map there.")
        let space = try makeSpace()
        let exporter = try Device(at: exporter, in: space)
        try exporter.config.updateCommand { $0.insert(.memoryDecode) }
        let edu = try openEngine(in: space)
        let result = try space.allocate(byteCount: 4096)

        guard try exporter.supports(.dmaBuf) else {
            throw VFIOError(
                .unsupported, "export a dma-buf", "\(exporter.address)",
                hint: "dma-buf export needs Linux 6.19 and CONFIG_VFIO_PCI_DMABUF")
        }
        let bar = try largestMemoryBAR(of: exporter)
        let size = min(bar.byteCount, Self.windowSize)
        say(
            "Export. \(size >> 10) KiB of \(bar.index) of \(exporter.address) become a dma-buf: a file descriptor that",
            "stands for the memory of a device, and that can be given to others.")
        let window = try exporter.exportDMABuf(of: bar.index, 0..<size)
        try window.setName("vfioctl demo")

        let peer = try space.map(window)
        say(
            "Map. The IOMMU shows that memory to \(importer) at IOVA \(peer.iova). The mapping is \(peer.state)."
        )

        say("Write. The CPU puts a greeting into the BAR of \(exporter.address).")
        let memory = try exporter.map(bar.index, 0..<size)
        memory.copy(Array(Self.greeting.utf8))

        let first = try read(peer.iova, by: edu, into: result)
        say("Move. \(importer) read the BAR by DMA, device to device, and found: \"\(first)\"")
        try require(first == Self.greeting, "the bytes that were read are not those that were written")

        try revoke(exporter)
        say(
            "See. The kernel has revoked the memory: the mapping is \(peer.state), the dma-buf itself is \(window.state)."
        )
        try require(peer.state == .revoked, "the library did not notice the revocation")

        faults.mark()
        let second = try read(peer.iova, by: edu, into: result)
        say(
            "Try. The same DMA again finds \(second.isEmpty ? "nothing, only zeros" : "\"\(second)\"").",
            faults.describe(of: .pci(importer)))
        try require(second != Self.greeting, "a revoked mapping still showed the exporter's memory")

        try peer.restore()
        memory.copy(Array(Self.greeting.utf8))
        let third = try read(peer.iova, by: edu, into: result)
        say(
            "Restore. Unmapped, and mapped again at the same place; the mapping is \(peer.state), and \(importer)",
            "reads \"\(third)\"")
        try require(third == Self.greeting, "the restored mapping does not show the exporter's memory")

        try memory.close()
        try exporter.close()
        say(
            "Close. With its device closed the dma-buf is \(window.state), for good. No importer can be left with a stale",
            "pointer into the device: that is what the old way, a BAR in a type1 container, cannot promise.")
        try require(peer.state == .exporterClosed, "the library did not notice that the exporter was closed")
        try peer.close()
        try window.close()
        try result.close()
        try edu.close()
        print("\nDone: all of it happened as told.")
    }

    // MARK: Steps

    private func makeSpace() throws -> AddressSpace {
        let space = try AddressSpace(kernel: kernel)
        guard space.interface == .iommufd else {
            throw VFIOError(
                .unsupported, "map a dma-buf", "this machine",
                hint:
                    "the kernel opens devices by their groups only (type1), and such an address space takes no dma-buf: it "
                    + "takes Linux 6.19 with CONFIG_IOMMUFD, CONFIG_VFIO_DEVICE_CDEV and CONFIG_VFIO_PCI_DMABUF"
            )
        }
        return space
    }

    /// The device that reads by DMA: QEMU's edu.
    private func openEngine(in space: AddressSpace) throws -> Edu {
        do throws(EduError) {
            return try Edu(at: importer, in: space)
        } catch .notAnEdu(let vendor, let number) {
            throw VFIOError(
                .unsupported, "use the device as a DMA engine", "\(importer)",
                hint: "the demo knows how to make QEMU's edu (1234:11e8) do DMA, and this is "
                    + "\(String(vendor, radix: 16)):\(String(number, radix: 16))")
        }
    }

    /// Revokes the dma-buf, by a reset if the device supports it, otherwise by disabling and enabling memory decode.
    private func revoke(_ exporter: borrowing Device) throws(VFIOError) {
        if exporter.info.canReset {
            say("Reset. \(exporter.address) is reset while its memory is mapped for the other device.")
            try exporter.reset()
        } else {
            say(
                "Switch off. \(exporter.address) cannot be reset, so its memory decode goes off, and on again, while its",
                "memory is mapped for the other device.")
            try exporter.config.updateCommand { $0.remove(.memoryDecode) }
            try exporter.config.updateCommand { $0.insert(.memoryDecode) }
        }
    }

    /// Reads a text by DMA with the edu device, and copies it to a buffer that the CPU can read.
    private func read(_ iova: IOVA, by edu: borrowing Edu, into buffer: borrowing DMABuffer) throws -> String {
        let count = Self.greeting.utf8.count
        try edu.copy(count, from: iova, to: buffer.iova)
        let bytes = buffer.bytes(count: count)
        return String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }

    private func largestMemoryBAR(of device: borrowing Device) throws(VFIOError) -> RegionInfo {
        guard let largest = try device.largestMappableBAR(ofAtLeast: kernel.pageSize) else {
            throw VFIOError(
                .notFound, "export a dma-buf", "\(device.address)", hint: "it has no memory BAR of a page or more")
        }
        return largest
    }

    // MARK: Output

    /// Prints a paragraph, wrapped to the width of a terminal.
    private func say(_ sentences: String...) {
        var line = "•"
        for word in sentences.joined(separator: " ").split(separator: " ") {
            if line.count + 1 + word.count > Self.lineWidth {
                print(line)
                line = " "
            }
            line += " " + word
        }
        print(line)
    }

    private func require(_ condition: Bool, _ complaint: String) throws {
        guard condition else { throw DemoFailure(description: complaint) }
    }
}

/// A step of the demo had another result than expected.
struct DemoFailure: Error, CustomStringConvertible { let description: String }
