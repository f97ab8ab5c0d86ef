import ArgumentParser
import ExampleSupport
import ToolSupport
import VFIO
import VirtioNet

struct Loop: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Sends numbered frames, and expects each of them back.",
        discussion: "For a device whose network returns what it is sent, as that of the project's lab does.")

    @Argument(help: ArgumentHelp("The device, such as 0000:03:00.0.", valueName: "bdf"), transform: PCIAddress.parse)
    var device: PCIAddress

    @Option(help: ArgumentHelp("How many frames to send.", valueName: "n"))
    var count = 1000

    @Flag(help: "Wait for interrupts, and do not poll.")
    var interrupts = false

    @Flag(help: "Compute UDP's checksum for each frame.")
    var checksum = false

    @OptionGroup var burst: BurstOptions
    @OptionGroup var machine: MachineOptions

    func validate() throws {
        guard count > 0 else { throw ValidationError("at least 1 frame is sent") }
    }

    func run() throws {
        let space = try machine.makeSpace()
        let opened = try Device(at: device, in: space)
        var pool = try PacketPool(in: space, count: 1024)
        var port = try Port(opened, pool: pool, options: PortOptions(usesInterrupts: interrupts))
        let address = port.macAddress ?? MACAddress(0x0200_0000_0001)
        let frame = TestFrame(from: address, to: address, hasChecksum: checksum)
        var generator = Generator(frame, batchSize: burst.batch)
        var packets = [Packet](repeating: .none, count: burst.batch)
        // Buffers for what is going to come.
        _ = try receive(&packets, &port, &pool)
        let start = ContinuousClock.now
        var (sent, returned, other, waits) = (0, 0, 0, 0)
        while returned < count {
            // No more on their way than there are buffers for.
            if sent - returned < 128 {
                sent += try generator.send(upTo: min(count - sent, 128), by: &port, pool: &pool)
            }
            var came = try receive(&packets, &port, &pool)
            if came == 0 {
                try waitForFrames(&port, after: returned)
                waits += 1
                came = try receive(&packets, &port, &pool)
            }
            for packet in packets[..<came] {
                switch frame.number(of: pool.frame(of: packet)) {
                case UInt64(returned): returned += 1
                case .some(let number): throw Failure("frame \(number) came in place of frame \(returned)")
                case .none: other += 1
                }
                pool.free(packet)
            }
        }
        let time = ContinuousClock.now - start
        try port.check()
        try port.close(returningBuffersTo: &pool)
        guard pool.freeCount == pool.count else { throw Failure("\(pool.count - pool.freeCount) buffers are lost") }
        print("\(sent) frames sent, \(returned) returned in order, \(other) others: \(Rate(returned, in: time))")
        if interrupts, waits > 0 { print("waited for interrupts \(waits) times") }
        try pool.close()
    }

    private func receive(_ packets: inout [Packet], _ port: inout Port, _ pool: inout PacketPool) throws -> Int {
        var span = packets.mutableSpan
        return try port.receive(into: &span, pool: &pool)
    }

    private func waitForFrames(_ port: inout Port, after returned: Int) throws {
        if interrupts {
            if try port.wait(timeout: .seconds(10)) { return }
            try port.check()
            throw Failure("no frame after frame \(returned)")
        }
        let deadline = ContinuousClock.now + .seconds(10)
        while try !port.hasPackets() {
            guard ContinuousClock.now < deadline else {
                try port.check()
                throw Failure("no frame after frame \(returned)")
            }
        }
    }
}
