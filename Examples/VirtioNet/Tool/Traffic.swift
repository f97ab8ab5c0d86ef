import VFIO
import VirtioNet

/// A port that numbered frames are sent by, and what belongs to it.
struct Traffic: ~Copyable {
    var pool: PacketPool
    var port: Port
    /// What the generator sends: to the port itself, for a network that returns frames.
    let frame: TestFrame
    var generator: Generator

    init(of address: PCIAddress, _ options: TrafficOptions, usesInterrupts: Bool = false) throws {
        let space = try options.machine.makeSpace()
        let device = try Device(at: address, in: space)
        let pool = try PacketPool(in: space, count: 1024)
        port = try Port(device, pool: pool, options: PortOptions(usesInterrupts: usesInterrupts))
        self.pool = pool
        let sender = port.senderAddress
        frame = TestFrame(from: sender, to: sender, hasChecksum: options.checksum)
        generator = Generator(frame, batchSize: options.burst.batch)
    }

    /// Sends one batch of frames, or what there are buffers and room for.
    mutating func send(upTo count: Int) throws(VirtioNetError) -> Int {
        try generator.send(upTo: count, by: &port, pool: &pool)
    }

    /// Takes packets that have come.
    mutating func receive(into packets: inout [Packet]) throws(VirtioNetError) -> Int {
        var span = packets.mutableSpan
        return try port.receive(into: &span, pool: &pool)
    }
}
