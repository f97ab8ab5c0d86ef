import ToolSupport
import VFIO
import VirtioNet

/// A port that sends numbered frames, with its pool and generator.
struct Traffic: ~Copyable {
    var pool: PacketPool
    var port: Port
    var host: HostCheck
    /// The frame that is sent: addressed to the port itself, for a network that returns frames.
    let frame: TestFrame
    var generator: Generator

    init(of address: PCIAddress, _ options: TrafficOptions, usesInterrupts: Bool = false) throws {
        let space = try options.machine.makeSpace()
        let device = try Device(at: address, in: space)
        let host = try HostCheck(device)
        let pool = try PacketPool(in: space, count: 1024)
        let port = try Port(device, pool: pool, options: PortOptions(usesInterrupts: usesInterrupts))
        let sender = port.senderAddress
        frame = TestFrame(from: sender, to: sender, hasChecksum: options.checksum)
        generator = Generator(frame, batchSize: options.burst.batch)
        self.host = host
        self.pool = pool
        self.port = port
    }

    /// Sends one batch of frames, limited by the available buffers and queue entries.
    mutating func send(upTo count: Int) throws(VirtioNetError) -> Int {
        try generator.send(upTo: count, by: &port, pool: &pool)
    }

    /// Takes received packets.
    mutating func receive(into packets: inout [Packet]) throws(VirtioNetError) -> Int {
        var span = packets.mutableSpan
        return try port.receive(into: &span, pool: &pool)
    }
}
