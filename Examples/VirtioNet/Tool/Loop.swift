import ArgumentParser
import ExampleSupport
import ToolSupport
import VFIO
import VirtioNet

struct Loop: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Sends numbered frames, and checks that each is returned.",
        discussion: "For a device whose network returns what it is sent, as that of the project's lab does.")

    @Argument(help: ArgumentHelp("The device, such as 0000:03:00.0.", valueName: "bdf"), transform: PCIAddress.parse)
    var device: PCIAddress

    @Option(help: ArgumentHelp("The number of frames to send.", valueName: "n"))
    var count = 1000

    @Flag(help: "Wait for interrupts instead of polling.")
    var interrupts = false

    @OptionGroup var traffic: TrafficOptions

    func validate() throws {
        guard count > 0 else { throw ValidationError("at least 1 frame is sent") }
    }

    func run() throws {
        var packets = [Packet](repeating: .none, count: traffic.burst.batch)
        var traffic = try Traffic(of: device, traffic, usesInterrupts: interrupts)
        // Gives the device its receive buffers.
        _ = try traffic.receive(into: &packets)
        let start = ContinuousClock.now
        var (sent, returned, other, waits) = (0, 0, 0, 0)
        while returned < count {
            try traffic.host.check()
            // Limit the frames in flight to the available buffers.
            if sent - returned < 128 {
                sent += try traffic.send(upTo: min(count - sent, 128))
            }
            var came = try traffic.receive(into: &packets)
            if came == 0 {
                try waitForFrames(&traffic.port, after: returned)
                try traffic.host.look()
                waits += 1
                came = try traffic.receive(into: &packets)
            }
            for packet in packets[..<came] {
                switch traffic.frame.number(of: traffic.pool.frame(of: packet)) {
                case UInt64(returned): returned += 1
                case .some(let number): throw Failure("frame \(number) came in place of frame \(returned)")
                case .none: other += 1
                }
                traffic.pool.free(packet)
            }
        }
        let time = ContinuousClock.now - start
        try traffic.port.check()
        try traffic.host.close()
        try traffic.port.close(returningBuffersTo: &traffic.pool)
        let lost = traffic.pool.count - traffic.pool.freeCount
        guard lost == 0 else { throw Failure("\(lost) buffers are lost") }
        print("\(sent) frames sent, \(returned) returned in order, \(other) others: \(Rate(returned, in: time))")
        if interrupts, waits > 0 { print("waited for interrupts \(waits) times") }
        try traffic.pool.close()
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
