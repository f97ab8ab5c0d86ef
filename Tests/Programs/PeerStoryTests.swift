import ExampleSupport
import NVMe
import Testing
import VFIO
import VFIOMock

@testable import nvmectl

/// What `nvmectl peer` leaves on the disk when the story goes wrong.
@Suite struct PeerStoryTests {
    private let machine = MockMachine()
    private let disk: PCIAddress = "0000:00:04.0"
    private let old = [UInt8](repeating: 0x5a, count: 256 * 512)

    init() {
        var model = NVMeModel()
        model.disk.setBytes(old, at: 64)
        machine.plug(model, at: disk)
        machine.plug(SharedMemoryModel(), at: "0000:00:03.0")
    }

    private func withDisk<Result: Sendable>(_ body: (inout NVMeModel) -> Result) -> Result {
        machine.withDevice(NVMeModel.self, at: disk) { model, _ in body(&model) }
    }

    private func story(byteCount: Int = 128 << 10) -> PeerStory {
        PeerStory(
            kernel: machine.kernel, diskAddress: disk, peerAddress: "0000:00:03.0", namespaceID: 1, block: 64,
            byteCount: byteCount)
    }

    private func blocks() -> [UInt8] { withDisk { $0.disk.bytes(at: 64, blockCount: 256) } }

    @Test func nothingIsWrittenBeforeThePeerIsThere() throws {
        #expect(throws: VFIOError.self) { try story(byteCount: 32 << 20).run() }
        let writes = withDisk { $0.statistics.commandCount(opcode: 1) }
        #expect(writes == 0)
        #expect(machine.openFiles == [])
    }

    /// Each of the story's commands, of which there are 2 reads and 2 writes of 64 KiB to a transfer.
    @Test(arguments: [
        (NVMeFault.Match.io(1), 0), (.io(1), 1), (.io(0), 0), (.io(2), 2), (.io(2), 3), (.io(2), 6), (.io(2), 8),
    ]) func anErrorPutsTheBlocksBack(_ match: NVMeFault.Match, _ skipping: Int) throws {
        withDisk { $0.inject(.fail(.internalError), on: match, skipping: skipping) }
        let error = #expect(throws: NVMeError.self) { try story().run() }
        guard case .status(let status, _) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(status.matches(.internalError))
        #expect(blocks() == old)
        #expect(machine.openFiles == [])
        #expect(machine.mappings == [])
    }

    @Test func aFatalControllerIsRecoveredAndTheBlocksPutBack() throws {
        withDisk { $0.inject(.becomeFatal, on: .io(2), skipping: 3) }
        #expect(throws: NVMeError.fatalStatus) { try story().run() }
        #expect(blocks() == old)
    }

    @Test func anErrorOfPuttingBackIsOvercome() throws {
        withDisk { $0.inject(.fail(.writeFault), on: .io(1), skipping: 2) }
        try story().run()
        #expect(blocks() == old)
    }

    @Test func blocksThatCannotBePutBackAreNamed() throws {
        withDisk { $0.inject(.fail(.writeFault), on: .io(1), skipping: 1, count: 1000) }
        let error = try #require(#expect(throws: Example.Failure.self) { try story().run() })
        #expect(
            error.description.contains(
                "\nAnd the 256 blocks from 64 on of namespace 1 could not be put back, so what they had is lost: "),
            "\(error)")
    }

    @Test func thePatternIsAnotherEachTime() throws {
        var seen: Set<[UInt8]> = []
        for seed in 0..<UInt8.max { seen.insert(PeerStory.pattern(4096, seed: seed)) }
        #expect(seen.count == 255)
    }

    @Test func theStoryEndsWellWhenNothingFails() throws {
        try story().run()
        #expect(blocks() == old)
        #expect(machine.openFiles == [])
    }
}
