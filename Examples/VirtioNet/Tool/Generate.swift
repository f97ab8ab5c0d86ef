import ArgumentParser
import ExampleSupport
import ToolSupport
import VFIO
import VirtioNet

struct Generate: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Sends numbered frames of 64 bytes, as fast as it goes.")

    @Argument(help: ArgumentHelp("The device, such as 0000:03:00.0.", valueName: "bdf"), transform: PCIAddress.parse)
    var device: PCIAddress

    @Option(help: ArgumentHelp("How many frames to send.", valueName: "n"))
    var count = 1_000_000

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
        var port = try Port(opened, pool: pool)
        let address = port.macAddress ?? MACAddress(0x0200_0000_0001)
        var generator = Generator(
            TestFrame(from: address, to: address, hasChecksum: checksum), batchSize: burst.batch)
        var packets = [Packet](repeating: .none, count: 64)
        let start = ContinuousClock.now
        var deadline = start + .seconds(10)
        var (sent, received) = (0, 0)
        while sent < count || port.transmitter.outstandingCount > 0 {
            let made = try generator.send(upTo: count - sent, by: &port, pool: &pool)
            // What comes is taken away: a network that returns frames would not take more otherwise.
            var span = packets.mutableSpan
            let came = try port.receive(into: &span, pool: &pool)
            for index in 0..<came { pool.free(span[index]) }
            sent += made
            received += came
            if made + came > 0 { deadline = .now + .seconds(10) }
            guard ContinuousClock.now < deadline else {
                try port.check()
                throw Failure("the device does not send \(port.transmitter.outstandingCount) frames")
            }
        }
        let time = ContinuousClock.now - start
        print("\(sent) frames sent in \(time): \(Rate(sent, in: time)); \(received) came")
        try port.close(returningBuffersTo: &pool)
        try pool.close()
    }
}
