import ArgumentParser
import ExampleSupport
import ToolSupport
import VFIO
import VirtioNet

struct Forward: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Forwards frames between two devices.",
        discussion: """
            The frames come from the networks of the two devices; the command ends if none arrives within 10 seconds. --inject \
            sends numbered frames, which circulate if each device's network returns frames. At the end they are taken out, and \
            the sum of their hop counts must equal the number of forwarded frames (modulo 256).
            """)

    @Argument(help: ArgumentHelp("The first device.", valueName: "bdf"), transform: PCIAddress.parse)
    var first: PCIAddress

    @Argument(help: ArgumentHelp("The second device.", valueName: "bdf"), transform: PCIAddress.parse)
    var second: PCIAddress

    @Option(help: ArgumentHelp("The number of frames to inject, at most 128.", valueName: "n"))
    var inject = 0

    @Option(help: ArgumentHelp("The minimum number of frames to forward.", valueName: "n"))
    var count = 10000

    @Flag(help: "Wait for interrupts instead of polling.")
    var interrupts = false

    @OptionGroup var burst: BurstOptions
    @OptionGroup var machine: MachineOptions

    func validate() throws {
        guard (0...128).contains(inject) else { throw ValidationError("0 to 128 frames are put in") }
        guard count > 0 else { throw ValidationError("at least 1 frame is forwarded") }
        guard first != second else { throw ValidationError("the two devices have to be different ones") }
    }

    func run() throws {
        let space = try machine.makeSpace()
        let one = try Device(at: first, in: space)
        let other = try Device(at: second, in: space)
        var firstHost = try HostCheck(one)
        var secondHost = try HostCheck(other)
        let pool = try PacketPool(in: space, count: 2048)
        let options = PortOptions(usesInterrupts: interrupts)
        var forwarder = Forwarder(
            try Port(one, pool: pool, options: options), try Port(other, pool: pool, options: options), pool: pool,
            batchSize: burst.batch)
        let address = forwarder.first.senderAddress
        let frame = TestFrame(from: address, to: forwarder.second.macAddress ?? address)
        // Gives both devices their receive buffers.
        try forwarder.forward()
        var generator = Generator(frame, batchSize: 128)
        let injected = try generator.send(upTo: inject, by: &forwarder.first, pool: &forwarder.pool)
        guard injected == inject else { throw Failure("only \(injected) frames could be put in") }
        let start = ContinuousClock.now
        var waits = 0
        while forwarder.forwardedCount < count {
            try firstHost.check()
            try secondHost.check()
            guard try forwarder.forward() == 0 else { continue }
            waits += 1
            try waitForFrames(&forwarder)
            try firstHost.look()
            try secondHost.look()
        }
        let time = ContinuousClock.now - start
        let total = forwarder.forwardedCount
        print("\(first) to \(second): \(forwarder.fromFirst)")
        print("\(second) to \(first): \(forwarder.fromSecond)")
        print("\(total) frames forwarded in \(time): \(Rate(total, in: time))")
        if interrupts, waits > 0 { print("waited for interrupts") }
        if inject > 0 { try takeOut(of: &forwarder, frame) }
        try firstHost.close()
        try secondHost.close()
        try forwarder.close()
    }

    private func waitForFrames(_ forwarder: inout Forwarder) throws {
        if interrupts {
            guard try forwarder.wait(timeout: .seconds(10)) else { throw silence }
            return
        }
        let deadline = ContinuousClock.now + .seconds(10)
        while true {
            if try forwarder.first.hasPackets() { return }
            if try forwarder.second.hasPackets() { return }
            guard ContinuousClock.now < deadline else {
                try forwarder.first.check()
                try forwarder.second.check()
                throw silence
            }
        }
    }

    private var silence: Failure {
        Failure(
            inject == 0
                ? "no frame has arrived for 10 seconds: send some to the devices, or use --inject"
                : "no frame comes any more: do the networks of both devices return what they are sent?")
    }

    /// Takes all frames out, and compares their hop counts with the forwarder's counts.
    private func takeOut(of forwarder: inout Forwarder, _ frame: TestFrame) throws {
        var seen: Set<UInt64> = []
        var hops = 0
        var packets = [Packet](repeating: .none, count: 64)
        let deadline = ContinuousClock.now + .seconds(10)
        while seen.count < inject {
            guard ContinuousClock.now < deadline else { throw Failure("\(inject - seen.count) frames are lost") }
            for isFirst in [true, false] {
                var span = packets.mutableSpan
                let came =
                    isFirst
                    ? try forwarder.first.receive(into: &span, pool: &forwarder.pool)
                    : try forwarder.second.receive(into: &span, pool: &forwarder.pool)
                for index in 0..<came {
                    let packet = span[index]
                    if let number = frame.number(of: forwarder.pool.frame(of: packet)) {
                        guard seen.insert(number).inserted else { throw Failure("frame \(number) is there twice") }
                        hops += Int(TestFrame.hops(of: forwarder.pool.frame(of: packet)))
                    }
                    forwarder.pool.free(packet)
                }
            }
        }
        // Each frame counts modulo 256, so the sum is compared modulo 256.
        let dropped = forwarder.fromFirst.dropped + forwarder.fromSecond.dropped
        guard dropped == 0, hops % 256 == forwarder.forwardedCount % 256 else {
            throw Failure("\(seen.count) frames were forwarded \(hops) times modulo 256, and \(dropped) were dropped")
        }
        print("\(seen.count) frames were put in, and all of them taken out: what was done to them adds up")
    }
}
