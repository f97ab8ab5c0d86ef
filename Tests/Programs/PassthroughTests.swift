import SystemPackage
import Testing
import VFIO
import VFIOMock
import VFIOPassthrough

@testable import Passthrough

/// The device's side of `Passthrough`: all of it but the processor, which the mock does not have. The rest runs in the lab.
@Suite struct PassthroughTests {
    private static let edu: PCIAddress = "0000:00:02.0"

    private static func makeMachine() -> MockMachine {
        let machine = MockMachine()
        machine.plug(EduStandIn(), at: edu)
        return machine
    }

    @Test func tiesTheDeviceToTheMachine() throws {
        let machine = Self.makeMachine()
        do {
            let guest = try GuestMachine.make(machine.kernel, with: Self.edu)
            try guest.bar.map(at: GuestProgram.barAddress)
            #expect(
                machine.virtualMachines.map(\.slots) == [
                    [
                        .init(number: 0, guestAddress: 0, byteCount: 1 << 20, isWritable: true, target: .memory),
                        .init(
                            number: 1, guestAddress: 0xc000_0000, byteCount: 1 << 20, isWritable: true,
                            target: .bar(0, of: .pci(Self.edu), offset: 0)),
                    ]
                ])
            #expect(machine.virtualMachines.map(\.registrations) == [[.device(.pci(Self.edu))]])
            machine.withDevice(EduStandIn.self, at: Self.edu) { _, bus in bus.raiseMSI() }
            let identification = try guest.read(0xc000_0000)
            #expect(identification == 0x0100_00ed)
            // The mock has looked at the eventfd when that call came in.
            #expect(machine.virtualMachines.map(\.interrupts) == [[.init(line: 24, isResampled: false, count: 1)]])
            try guest.write(0xfeed, at: 0xc000_0004)
            let written = try guest.read(0xc000_0004)
            #expect(written == 0xfeed)
            for address: GuestAddress in [0xbfff_fffc, 0xc010_0000, 0xc000_0002] {
                #expect(
                    throws: VFIOError(.outOfRange, "reach a register for the guest", "guest address \(address)")
                ) { _ = try guest.read(address) }
            }
            try guest.close()
        }
        #expect(machine.openFiles.isEmpty)
        #expect(machine.mappings.isEmpty)
        #expect(machine.pinnedByteCount == 0)
    }

    @Test func putsTheProgramWhereTheDeviceFindsItsData() throws {
        let machine = Self.makeMachine()
        let guest = try GuestMachine.make(machine.kernel, with: Self.edu)
        try guest.load()
        machine.withDevice(EduStandIn.self, at: Self.edu) { _, bus in
            let text = bus.read(IOVA(GuestProgram.source), byteCount: GuestProgram.text.utf8.count)
            #expect(String(decoding: text, as: UTF8.self) == GuestProgram.text)
            bus.write(text, to: IOVA(GuestProgram.destination))
            bus.write([7, 0, 0, 0], to: IOVA(GuestProgram.results + GuestProgram.Result.interruptCount.rawValue))
            // The gate of vector 0x40 leads to the handler, in the code segment.
            let gate = bus.read(IOVA(GuestProgram.interruptTable + 0x40 * 8), byteCount: 8)
            #expect(gate == [0x00, 0x88, 0x08, 0x00, 0x00, 0x8e, 0x00, 0x00])
            #expect(bus.read(IOVA(GuestProgram.start), byteCount: 5) == [0xbb, 0x00, 0x00, 0x00, 0xc0])
            #expect(bus.read(IOVA(GuestProgram.handler), byteCount: 1) == [0x50])
        }
        let text = try guest.text(at: GuestProgram.destination)
        #expect(text == "\"\(GuestProgram.text)\"")
        let count = try guest.result(.interruptCount)
        #expect(count == 7)
        // Nothing is left of a run when the next one begins.
        try guest.load()
        let cleared = try guest.result(.interruptCount)
        #expect(cleared == 0)
        #expect(machine.faults.isEmpty)
        try guest.close()
    }

    /// Each of the calls fails once; nothing of the machine is left then.
    @Test func leaksNothingWhenItCannotBeMade() throws {
        var failures = 0
        for skipped in 0..<200 {
            let machine = Self.makeMachine()
            machine.failNextCall(.ioctl, with: .noMemory, skipping: skipped)
            do {
                let guest = try GuestMachine.make(machine.kernel, with: Self.edu)
                let isThrough = machine.pendingFailureCount == 1
                machine.clearFailures()
                try guest.close()
                if isThrough {
                    #expect(failures > 8)
                    return
                }
            } catch { failures += 1 }
            #expect(machine.openFiles.isEmpty, "after \(skipped) calls")
            #expect(machine.pinnedByteCount == 0)
        }
        Issue.record("it was never made")
    }

    @Test func saysWhatIsMissing() throws {
        let machine = Self.makeMachine()
        machine.failNextCall(.open, with: .noSuchFileOrDirectory)
        let error = #expect(throws: VFIOError.self) { _ = try GuestMachine.make(machine.kernel, with: Self.edu) }
        #expect(
            error?.description == "cannot open KVM for /dev/kvm: No such file or directory (ENOENT): the machine needs "
                + "hardware virtualisation that is switched on, and this user the right to use it")
        machine.failNextCall(.ioctl, with: .noMemory)
        let other = #expect(throws: VFIOError.self) { _ = try GuestMachine.make(machine.kernel, with: Self.edu) }
        #expect(other?.description == "cannot ask KVM (KVM_CREATE_VM) for /dev/kvm: Cannot allocate memory (ENOMEM)")
    }
}
