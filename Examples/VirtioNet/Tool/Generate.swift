import ArgumentParser
import ExampleSupport
import ToolSupport
import VFIO
import VirtioNet

struct Generate: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Sends numbered frames of 64 bytes, as fast as it goes.")

    @Argument(help: ArgumentHelp("The device, such as 0000:03:00.0.", valueName: "bdf"), transform: PCIAddress.parse)
    var device: PCIAddress

    @Option(help: ArgumentHelp("The number of frames to send.", valueName: "n"))
    var count = 1_000_000

    @OptionGroup var traffic: TrafficOptions

    func validate() throws {
        guard count > 0 else { throw ValidationError("at least 1 frame is sent") }
    }

    func run() throws {
        var traffic = try Traffic(of: device, traffic)
        var packets = [Packet](repeating: .none, count: 64)
        let start = ContinuousClock.now
        var deadline = start + .seconds(10)
        var (sent, received) = (0, 0)
        while sent < count || traffic.port.transmitter.outstandingCount > 0 {
            try traffic.host.check()
            let made = try traffic.send(upTo: count - sent)
            // Take received frames, because a network that returns frames would otherwise stop accepting new ones.
            let came = try traffic.receive(into: &packets)
            for index in 0..<came { traffic.pool.free(packets[index]) }
            sent += made
            received += came
            if made + came > 0 { deadline = .now + .seconds(10) }
            guard ContinuousClock.now < deadline else {
                try traffic.port.check()
                throw Failure("the device does not send \(traffic.port.transmitter.outstandingCount) frames")
            }
        }
        let time = ContinuousClock.now - start
        print("\(sent) frames sent in \(time): \(Rate(sent, in: time)); \(received) came")
        try traffic.host.close()
        try traffic.port.close(returningBuffersTo: &traffic.pool)
        try traffic.pool.close()
    }
}
