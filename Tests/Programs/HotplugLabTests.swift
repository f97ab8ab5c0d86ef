import Foundation
import Testing
import VFIO

/// Devices that are pulled out of a real kernel, by QEMU's `device_del`, while programs use them.
@Suite(.serialized, .enabled(if: Lab.isMachine("hotplug"), Lab.hint("hotplug")), .timeLimit(.minutes(15)))
struct HotplugLabTests {
    private static let disk: PCIAddress = "0000:05:00.0"
    /// Each is pulled out once.
    private static let memories: [PCIAddress] = ["0000:06:00.0", "0000:08:00.0", "0000:09:00.0"]
    private static let net: PCIAddress = "0000:07:00.0"
    private static let edu: PCIAddress = "0000:00:02.0"

    // MARK: Commands

    @Test func aBenchmarkLetsGoOfItsDisk() throws {
        let bench = try Running("nvmectl", "bench", "\(Self.disk)", "--seconds", "500")
        try Self.waitUntil("the disk is open") { Self.isOpen(Self.disk) }
        try Monitor().execute("device_del", ["id": "plugged-nvme"])
        let result = bench.result()
        #expect(result.status == 1)
        #expect(
            result.errors == "Error: 0000:05:00.0: the host wants the device back, to unbind or unplug it\n")
        try Self.waitUntil("the disk has left") { !Self.exists(Self.disk) }
    }

    @Test func anExportEndsAndItsMemoryIsRevoked() throws {
        let memory = Self.memories[0]
        let socket = "/tmp/pulled"
        let export = try Running("vfioctl", "dmabuf", "export", "\(memory)", "bar2", "all", "--socket", socket)
        try Self.waitUntil("the socket is there") { FileManager.default.fileExists(atPath: socket) }
        try Monitor().execute("device_del", ["id": "plugged-memory1"])
        let result = export.result()
        #expect(result.status == 1)
        #expect(result.errors.contains("the host wants the device back, to unbind or unplug it"))
        #expect(!FileManager.default.fileExists(atPath: socket))
        try Self.waitUntil("the memory has left") { !Self.exists(memory) }
    }

    @Test func aCommandThatGotADMABufIsWaitedFor() throws {
        let memory = Self.memories[1]
        let export = try Running(
            "vfioctl", "dmabuf", "export", "\(memory)", "bar2", "all", "--", "sh", "-c",
            "for i in $(seq 600); do [ -e /sys/bus/pci/devices/\(memory) ] || exit 7; sleep 0.2; done")
        try Self.waitUntil("the memory is exported") { Self.isOpen(memory) }
        try Monitor().execute("device_del", ["id": "plugged-memory2"])
        let result = export.result()
        #expect(result.status == 7)
        #expect(result.errors.contains("the host wants the device back, to unbind or unplug it"))
    }

    // MARK: The library

    @Test(
        .enabled(
            if: FileManager.default.fileExists(atPath: "/dev/iommu"), "only an iommufd maps a dma-buf: kernel iommufd"))
    func aPeerMappingDiesWithItsDevice() async throws {
        let memory = Self.memories[2]
        let space = try AddressSpace(.iommufd)
        let device = try Device(at: memory, in: space)
        let peer = try Device(at: Self.edu, in: space)
        try device.config.updateCommand { $0.insert(.memoryDecode) }
        let window = try device.exportDMABuf(of: .bar2, 0..<65536)
        let mapping = try space.map(window)
        #expect(mapping.state == .live)
        let watch = try device.watch()
        var events = watch.events.makeAsyncIterator()
        try Monitor().execute("device_del", ["id": "plugged-memory3"])
        #expect(try await events.next() == .releaseRequested)
        // It works until it is closed; then the kernel revokes the mapping for good.
        #expect(try device.isPresent())
        #expect(mapping.state == .live)
        try watch.close()
        try device.close()
        #expect(mapping.state == .exporterClosed)
        try Self.waitUntil("the memory has left") { !Self.exists(memory) }
        try mapping.close()
        try window.close()
        try peer.close()
    }

    /// Only some kernels of the lab handle the errors of PCI Express.
    @Test(.enabled(if: Lab.handlesErrors, "the kernel was built without CONFIG_PCIEAER: stock has it"))
    func anErrorOfTheBusIsReported() async throws {
        let device = try Device(at: Self.net, in: AddressSpace())
        let watch = try device.watch()
        var events = watch.events.makeAsyncIterator()
        // A poisoned packet, which is uncorrectable and not fatal.
        _ = try Monitor().executeAsHuman("pcie_aer_inject_error plugged-net POISON_TLP")
        #expect(try await events.next() == .error)
        try watch.close()
        try device.close()
    }

    // MARK: Support

    /// A program that runs while the test does something.
    private final class Running {
        private let process = Process()
        private let errors = Pipe()

        init(_ name: String, _ arguments: String...) throws {
            process.executableURL = URL(fileURLWithPath: Program(name: name).path)
            process.arguments = arguments
            process.standardError = errors
            try process.run()
        }

        /// Waits until it ends.
        func result() -> Program.Result {
            let complaint = errors.fileHandleForReading.readDataToEndOfFile()
            process.waitUntilExit()
            return Program.Result(
                status: process.terminationStatus, output: "", errors: String(decoding: complaint, as: UTF8.self))
        }
    }

    private static func folder(_ address: PCIAddress) -> String { "/sys/bus/pci/devices/\(address)" }

    private static func exists(_ address: PCIAddress) -> Bool {
        FileManager.default.fileExists(atPath: folder(address))
    }

    private static func isOpen(_ address: PCIAddress) -> Bool {
        (try? String(contentsOfFile: "\(folder(address))/enable", encoding: .utf8))?.hasPrefix("1") == true
    }

    private static func waitUntil(_ what: String, _ isSo: () -> Bool) throws {
        for _ in 0..<1200 {
            if isSo() { return }
            usleep(100_000)
        }
        throw Monitor.Failure(text: "waited in vain until \(what)")
    }
}
