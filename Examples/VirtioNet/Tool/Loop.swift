import ArgumentParser
import VFIO
import VirtioNet

struct Loop: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Sends frames and expects each back, from a network that returns what it is sent.")

    @Argument(help: "The device, such as 0000:03:00.0.")
    var device: String

    func run() throws {
        let space = try AddressSpace()
        guard let address = PCIAddress(device) else { throw ValidationError("bad address") }
        let opened = try Device(at: address, in: space)
        var pool = try PacketPool(in: space, count: 1024)
        var port = try Port(opened, pool: pool)
        print(port.features, port.macAddress.map { "\($0)" } ?? "-", port.receiver.size)
        var packets = [Packet](repeating: .none, count: 32)
        do {
            var span = packets.mutableSpan
            print("received", try port.receive(into: &span, pool: &pool))
        }
        let test = TestFrame(from: port.macAddress!, to: port.macAddress!)
        for index in 0..<8 {
            packets[index] = pool.allocate(length: TestFrame.byteCount)!
            test.write(UInt64(index), to: pool.frame(of: packets[index]))
        }
        print("sent", try port.transmit(packets.span.extracting(0..<8), pool: &pool))
        let deadline = ContinuousClock.now + .seconds(5)
        var total = 0
        while total < 8, ContinuousClock.now < deadline {
            var span = packets.mutableSpan
            let count = try port.receive(into: &span, pool: &pool)
            for index in 0..<count {
                print("came", span[index], test.number(of: pool.frame(of: span[index])) as Any)
                pool.free(span[index])
            }
            total += count
        }
        try port.check()
        try port.reclaim(to: &pool)
        print("free", pool.freeCount)
        try port.close(returningBuffersTo: &pool)
        print("free", pool.freeCount)
        try pool.close()
    }
}
