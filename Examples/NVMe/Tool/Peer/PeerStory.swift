import ExampleSupport
import NVMe
import VFIO

/// Demonstrates a disk that reads directly into another device's memory.
struct PeerStory {
    let kernel: any Kernel
    let diskAddress: PCIAddress
    let peerAddress: PCIAddress
    let namespaceID: UInt32
    let block: UInt64
    let byteCount: Int

    func run() throws {
        Narration.say("Open. Disk and peer go into one IO address space.")
        let space = try AddressSpace(.iommufd, kernel: kernel)
        let peer = try Device(at: peerAddress, in: space)
        try peer.config.updateCommand { $0.insert(.memoryDecode) }
        let controller = try Controller(Device(at: diskAddress, in: space))
        let disk = try controller.namespace(namespaceID)
        let blockCount = byteCount / disk.blockSize
        try require(byteCount % disk.blockSize == 0, "blocks of \(disk.blockSize) bytes do not fill \(byteCount) bytes")
        try require(
            block < disk.blockCount && UInt64(blockCount) <= disk.blockCount - block,
            "the disk ends before the blocks that are to be used")

        let bar = try Exporter.largestBAR(of: peer, atLeast: byteCount)
        let window = try peer.exportDMABuf(of: bar, 0..<UInt64(byteCount))
        try window.setName("nvmectl peer")
        let mapping = try space.map(window)
        let memory = try peer.map(bar, 0..<UInt64(byteCount))
        Narration.say(
            "Export. \(byteCount >> 10) KiB of \(bar) of \(peerAddress) become a dma-buf, which the IOMMU shows to",
            "\(diskAddress) at IOVA \(mapping.iova).")

        // Before the queue, so that it is freed after the queue has been deleted at the controller.
        let buffer = try space.allocate(byteCount: byteCount)
        var queue = try controller.makeQueue(depth: 16, maximumTransferByteCount: 64 << 10)
        let saved = try SavedBlocks(disk, at: block, count: blockCount, with: &queue, through: buffer)
        // From here on the disk is changed. Its blocks must be restored in any case.
        var failure: (any Error)?
        do {
            try tell(&queue, disk, blockCount, buffer, peer, mapping, memory)
        } catch {
            failure = error
        }
        do {
            try saved.putBack(with: &queue, through: buffer, isRecovering: failure != nil)
        } catch {
            throw failure.map { Example.Failure("\($0)\nAnd \(error)") } ?? error
        }
        if let failure {
            Narration.say("Put back. It went wrong, and the disk has again what it had before.")
            throw failure
        }

        try queue.close()
        try controller.close()
        try memory.close()
        try mapping.close()
        try window.close()
        try buffer.close()
        try peer.close()
        Narration.say("Close. The disk has again what it had before, and the controller is shut down.")
        print("\nDone: all of it happened as told.")
    }

    /// The part of the demonstration that uses the pattern on the disk.
    private func tell(
        _ queue: inout QueuePair, _ disk: Namespace, _ blockCount: Int, _ buffer: borrowing DMABuffer,
        _ peer: borrowing Device, _ mapping: borrowing PeerMapping, _ memory: borrowing MappedRegion
    ) throws {
        // A new pattern each time, and none of it is in the peer's memory, so data found there is from this read.
        let pattern = Self.pattern(byteCount, seed: UInt8.random(in: .min ... .max))
        let zeros = [UInt8](repeating: 0, count: byteCount)
        memory.copy(zeros)
        buffer.copy(pattern)
        try queue.writeAll(disk, at: block, count: blockCount, from: buffer)
        try queue.flush(disk)
        Narration.say(
            "Write. A pattern of \(byteCount >> 10) KiB goes to block \(block) and following of \(diskAddress), and is",
            "flushed.")

        try queue.readAll(disk, at: block, count: blockCount, into: mapping)
        try verify(memory.bytes(count: byteCount), pattern, "of the peer")
        Narration.say(
            "Read. \(diskAddress) put the pattern straight into the memory of \(peerAddress); the CPU finds all",
            "\(byteCount) bytes there, as they were written.")

        let way = try Exporter.reset(peer)
        try require(mapping.state == .revoked, "the library did not notice the revocation")
        Narration.say(
            "Reset. \(peerAddress) \(way): the kernel has revoked the memory, the mapping is \(mapping.state).")

        memory.copy(zeros)
        let refusal = try refusal(of: &queue, disk, blockCount, mapping)
        try verify(memory.bytes(count: byteCount), zeros, "of the revoked peer")
        Narration.say("Try. The same read now fails, and nothing arrives: \(refusal)")

        buffer.copy(zeros)
        try queue.readAll(disk, at: block, count: blockCount, into: buffer)
        try verify(buffer.bytes(count: byteCount), pattern, "of this program")
        Narration.say("Go on. Disk and driver are well: a read into our own memory finds the pattern.")

        try mapping.restore()
        try queue.readAll(disk, at: block, count: blockCount, into: mapping)
        try verify(memory.bytes(count: byteCount), pattern, "of the restored peer")
        Narration.say(
            "Restore. Mapped again at the same place; the mapping is \(mapping.state), and the read into the peer finds",
            "the pattern again.")
    }

    /// Returns the error of a read into the peer, which must be a revocation.
    private func refusal(
        of queue: inout QueuePair, _ disk: Namespace, _ blockCount: Int, _ mapping: borrowing PeerMapping
    ) throws -> NVMeError {
        do throws(NVMeError) {
            try queue.readAll(disk, at: block, count: blockCount, into: mapping)
        } catch {
            guard case .peerRevoked = error else { throw error }
            return error
        }
        throw Example.Failure("a read into revoked memory did not fail")
    }

    /// Returns bytes in which no two pages are equal.
    static func pattern(_ byteCount: Int, seed: UInt8) -> [UInt8] {
        (0..<byteCount).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 8 ^ $0 >> 12 ^ Int(seed)) }
    }

    private func verify(_ found: [UInt8], _ expected: [UInt8], _ whose: String) throws {
        guard let place = zip(found, expected).enumerated().first(where: { $0.element.0 != $0.element.1 }) else {
            return
        }
        throw Example.Failure(
            "byte \(place.offset) of the memory \(whose) is \(place.element.0), not \(place.element.1)")
    }

    private func require(_ condition: Bool, _ complaint: String) throws {
        guard condition else { throw Example.Failure(complaint) }
    }
}
