import CBaseline
import Harness
import VFIO
import VFIOMock
import VirtioNet

/// The virtio-net driver's forwarder between two ports, whose cards are C functions on plain memory; the C side has the same.
final class ForwardFixture {
    private let batch: Int
    private var forwarder: Forwarder
    private var cards: [(receiver: bench_card_queue, transmitter: bench_card_queue)]
    private let baseline: OpaquePointer

    init(batch: Int) throws {
        self.batch = batch
        let machine = MockMachine()
        machine.plug(VirtioNetMemoryModel(), at: "0000:03:00.0")
        machine.plug(VirtioNetMemoryModel(), at: "0000:04:00.0")
        let space = try AddressSpace(kernel: machine.kernel)
        let first = try Device(at: "0000:03:00.0", in: space)
        let second = try Device(at: "0000:04:00.0", in: space)
        let pool = try PacketPool(in: space, count: 2048)
        var forwarder = Forwarder(
            try Port(first, pool: pool), try Port(second, pool: pool), pool: pool, batchSize: batch)
        try forwarder.forward()
        cards = [
            (Self.card(forwarder.first.receiver), Self.card(forwarder.first.transmitter)),
            (Self.card(forwarder.second.receiver), Self.card(forwarder.second.transmitter)),
        ]
        self.forwarder = forwarder
        baseline = baseline_make_forwarder(UInt32(batch))
    }

    private static func card(_ queue: borrowing Virtqueue) -> bench_card_queue {
        let base = queue.memory.unsafeBaseAddress.assumingMemoryBound(to: UInt8.self)
        return bench_card_queue(
            available: base + queue.layout.availableOffset, used: base + queue.layout.usedOffset, next: 0,
            mask: UInt16(queue.layout.size - 1))
    }

    var row: Row {
        Row("forward-\(batch)", "forward a packet of 64 bytes, in batches of \(batch)") { [self] in
            loop($0)
        } baseline: { [self] in
            _ = baseline_forward_loop(baseline, Int64($0))
        }
    }

    private func loop(_ count: Int) {
        let start = forwarder.forwardedCount
        do {
            while forwarder.forwardedCount - start < count {
                for index in 0..<2 {
                    _ = bench_card_use(&cards[index].transmitter, 256, 0)
                    _ = bench_card_use(&cards[index].receiver, UInt32(batch), 12 + 60)
                }
                try forwarder.forward()
            }
        } catch {
            fatalError("\(error)")
        }
    }
}
