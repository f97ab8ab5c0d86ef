import ArgumentParser
import ToolSupport
import VFIO
import VirtioNet

struct Info: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Shows what a device is. It is reset on the way.")

    @Argument(help: ArgumentHelp("The device, such as 0000:03:00.0.", valueName: "bdf"), transform: PCIAddress.parse)
    var device: PCIAddress

    @OptionGroup var machine: MachineOptions

    func run() throws {
        let space = try machine.makeSpace()
        let opened = try Device(at: device, in: space)
        print("device      \(device)")
        for structure in try VirtioStructure.all(of: opened) { print("structure   \(structure)") }
        var pool = try PacketPool(in: space, count: 1)
        let port = try Port(opened, pool: pool)
        print("features    \(port.features)")
        print("address     \(port.macAddress.map { "\($0)" } ?? "none")")
        print("queues      \(port.receiver.size) to receive, \(port.transmitter.size) to transmit")
        try port.check()
        try port.close(returningBuffersTo: &pool)
        try pool.close()
    }
}
