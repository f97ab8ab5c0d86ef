import CBaseline
import Harness
import VFIO
import VFIOMock
import VirtioNet

/// The virtio-net driver's forwarder between two ports, whose cards are C functions on plain memory; the C side has the same.
final class ForwardFixture {
    private let batch: Int
    private var forwarder: Forwarder
    private var cards: Cards
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
        cards = Cards(
            firstReceiver: Self.card(forwarder.first.receiver),
            firstTransmitter: Self.card(forwarder.first.transmitter),
            secondReceiver: Self.card(forwarder.second.receiver),
            secondTransmitter: Self.card(forwarder.second.transmitter))
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

    private func loop(_ count: Int) { forwardLoop(&forwarder, &cards, batch, count) }
}

/// The cards' sides of the queues.
private struct Cards { var firstReceiver, firstTransmitter, secondReceiver, secondTransmitter: bench_card_queue }

@inline(never)
private func forwardLoop(_ forwarder: inout Forwarder, _ cards: inout Cards, _ batch: Int, _ count: Int) {
    let batch = UInt32(batch)
    let start = forwarder.forwardedCount
    do {
        while forwarder.forwardedCount &- start < count {
            _ = bench_card_use(&cards.firstTransmitter, 256, 0)
            _ = bench_card_use(&cards.firstReceiver, batch, 12 + 60)
            _ = bench_card_use(&cards.secondTransmitter, 256, 0)
            _ = bench_card_use(&cards.secondReceiver, batch, 12 + 60)
            try forwarder.forward()
        }
    } catch { fatalError("\(error)") }
}
