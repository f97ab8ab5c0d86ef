import ExampleSupport
import VFIO
import VFIOPassthrough

/// A minimal virtual machine monitor with device passthrough: the guest drives QEMU's edu directly.
///
/// The guest accesses the device's registers, starts DMA to its own memory, and receives its interrupt without the
/// monitor. On the mock, which has no processors, the program ends before the guest runs.
@main
struct Passthrough {
    static func main() {
        Example(
            "Passthrough",
            "The smallest virtual machine monitor: its guest uses the device without an exit to it. Needs /dev/kvm.",
            .init("0000:00:02.0", EduStandIn(), "QEMU's edu")
        ).run { machine in
            let guest = try GuestMachine.make(machine.kernel, with: machine.devices[0])
            print("memory: \(guest.memory.ranges[0]) is the guest's, and \(machine.devices[0]) finds it there as well")
            try guest.bar.map(at: GuestProgram.barAddress)
            print("registers: BAR 0 is at \(GuestProgram.barAddress) for the guest, in memory slots \(guest.bar.slots)")
            print("interrupt: the device's MSI is vector \(GuestProgram.vector) of the guest's processor")
            try guest.load()
            if machine.mock != nil {
                print("the mock's machines have no processors: this is how far it goes")
            } else {
                try run(guest)
            }
            try guest.close()
        }
    }

    private static func run(_ guest: borrowing GuestMachine) throws {
        try guest.routeInterrupt()
        let processor = try Processor.make(of: guest.file)
        let exits = try run(guest, on: processor)
        print("the guest read the identification: 0x\(String(try guest.result(.identification), radix: 16))")
        print("the guest had the device compute \(GuestProgram.number)!: \(try guest.result(.factorial))")
        print("the guest had the device move \(try guest.text(at: GuestProgram.destination))")
        print("the guest took \(try guest.result(.interruptCount)) interrupt")
        print("exits to the monitor: \(exits), the OUT by which the guest said that it was done")
        try Example.require(exits == 1, "the guest needed the monitor")

        // For comparison: pages that cannot be mapped into the guest, such as those of an MSI-X table, cause an exit
        // for each access.
        try guest.bar.unmap()
        try guest.load()
        print("with BAR 0 hidden, so that the monitor has to answer: \(try run(guest, on: processor)) exits to it")
    }

    /// Runs the guest to completion, and checks its results.
    ///
    /// - Returns: The number of exits to this program.
    private static func run(_ guest: borrowing GuestMachine, on processor: borrowing Processor) throws -> Int {
        try processor.begin(at: GuestProgram.start, stack: GuestProgram.stackTop)
        var exits = 0
        var isDone = false
        while !isDone {
            exits += 1
            switch try processor.run() {
            case .port(GuestProgram.donePort): isDone = true
            case .read(let address): processor.answer(try guest.read(address))
            case .write(let value, let address): try guest.write(value, at: address)
            case let exit: throw Example.Failure("the guest stopped for no good reason: \(exit)")
            }
        }
        let text = try guest.text(at: GuestProgram.destination)
        try Example.require(try guest.result(.identification) == 0x0100_00ed, "that is no edu")
        try Example.require(try guest.result(.factorial) == 3_628_800, "the factorial is wrong")
        try Example.require(text == "\"\(GuestProgram.text)\"", "the bytes that were moved are others")
        try Example.require(try guest.result(.interruptStatus) == 0x100, "the interrupt was another one")
        try Example.require(try guest.result(.interruptCount) == 1, "there was not one interrupt")
        return exits
    }
}
