import NVMe
import VFIO

/// The story of a disk that reads straight into another device's memory, told by the two.
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
        try require(
            block < disk.blockCount && UInt64(blockCount) <= disk.blockCount - block,
            "the disk ends before the blocks that are to be used")
        var queue = try controller.makeQueue(depth: 16, maximumTransferByteCount: 64 << 10)
        let buffer = try space.allocate(byteCount: byteCount)

        try queue.readAll(disk, at: block, count: blockCount, into: buffer.iova)
        let before = buffer.bytes(count: byteCount)
        let pattern = Self.pattern(byteCount)
        buffer.copy(pattern)
        try queue.writeAll(disk, at: block, count: blockCount, from: buffer.iova)
        try queue.flush(disk)
        Narration.say(
            "Write. A pattern of \(byteCount >> 10) KiB goes to block \(block) and following of \(diskAddress), and is",
            "flushed.")

        let bar = try Exporter.largestBAR(of: peer, atLeast: byteCount)
        let window = try peer.exportDMABuf(of: bar, 0..<UInt64(byteCount))
        try window.setName("nvmectl peer")
        let mapping = try space.map(window)
        let memory = try peer.map(bar, 0..<UInt64(byteCount))
        Narration.say(
            "Export. \(byteCount >> 10) KiB of \(bar) of \(peerAddress) become a dma-buf, which the IOMMU shows to",
            "\(diskAddress) at IOVA \(mapping.iova).")

        try queue.readAll(disk, at: block, count: blockCount, into: mapping)
        try verify(memory.bytes(count: byteCount), pattern, "of the peer")
        Narration.say(
            "Read. \(diskAddress) put the pattern straight into the memory of \(peerAddress); the CPU finds all",
            "\(byteCount) bytes there, as they were written.")

        let way = try Exporter.reset(peer)
        try require(mapping.state == .revoked, "the library did not notice the revocation")
        Narration.say(
            "Reset. \(peerAddress) \(way): the kernel has revoked the memory, the mapping is \(mapping.state).")

        memory.copy([UInt8](repeating: 0, count: byteCount))
        let refusal = failure(of: &queue, disk, blockCount, mapping)
        try require(refusal != nil, "a read into revoked memory did not fail")
        try verify(memory.bytes(count: byteCount), [UInt8](repeating: 0, count: byteCount), "of the revoked peer")
        Narration.say("Try. The same read now fails, and nothing arrives: \(refusal ?? "")")

        buffer.copy([UInt8](repeating: 0, count: byteCount))
        try queue.readAll(disk, at: block, count: blockCount, into: buffer.iova)
        try verify(buffer.bytes(count: byteCount), pattern, "of this program")
        Narration.say("Go on. Disk and driver are well: a read into our own memory finds the pattern.")

        try mapping.restore()
        try queue.readAll(disk, at: block, count: blockCount, into: mapping)
        try verify(memory.bytes(count: byteCount), pattern, "of the restored peer")
        Narration.say(
            "Restore. Mapped again at the same place; the mapping is \(mapping.state), and the read into the peer finds",
            "the pattern again.")

        buffer.copy(before)
        try queue.writeAll(disk, at: block, count: blockCount, from: buffer.iova)
        try queue.flush(disk)
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

    /// What a read into the peer fails with; `nil` when it does not fail.
    private func failure(
        of queue: inout QueuePair, _ disk: Namespace, _ blockCount: Int, _ mapping: borrowing PeerMapping
    ) -> String? {
        do {
            try queue.readAll(disk, at: block, count: blockCount, into: mapping)
            return nil
        } catch {
            return "\(error)"
        }
    }

    /// Bytes of which no two pages are the same.
    private static func pattern(_ byteCount: Int) -> [UInt8] {
        (0..<byteCount).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 8 ^ $0 >> 12 ^ 0xa5) }
    }

    private func verify(_ found: [UInt8], _ expected: [UInt8], _ whose: String) throws {
        guard let place = zip(found, expected).enumerated().first(where: { $0.element.0 != $0.element.1 }) else {
            return
        }
        throw PeerFailure(
            description: "byte \(place.offset) of the memory \(whose) is \(place.element.0), not \(place.element.1)")
    }

    private func require(_ condition: Bool, _ complaint: String) throws {
        guard condition else { throw PeerFailure(description: complaint) }
    }
}

/// The story did not go as told.
struct PeerFailure: Error, CustomStringConvertible {
    let description: String
}
