import Edu
import SystemPackage
import Testing
import VFIO
import VFIOMock

/// The driver of the examples, where they do not go: what it refuses, and what fails below it.
@Suite struct EduTests {
    private static let edu: PCIAddress = "0000:00:02.0"
    private static let disk: PCIAddress = "0000:00:04.0"

    /// Gives a driver on a mock machine to a closure, and sees that nothing of it is left after it.
    private func withEdu(
        _ model: some MockDevice = EduModel(), timeout: Duration = .seconds(10),
        _ body: (borrowing Edu, borrowing DMABuffer, MockMachine) throws -> Void
    ) throws {
        let machine = MockMachine()
        machine.plug(model, at: Self.edu)
        do {
            let space = try AddressSpace(kernel: machine.kernel)
            let edu = try Edu(at: Self.edu, in: space, timeout: timeout)
            let buffer = try space.allocate(byteCount: 4096)
            try body(edu, buffer, machine)
            try buffer.close()
            try edu.close()
        }
        #expect(machine.openFiles.isEmpty)
        #expect(machine.mappings.isEmpty)
        #expect(machine.pinnedByteCount == 0)
    }

    @Test(arguments: [0, -1, 4097]) func refusesWhatTheBufferCannotHold(_ count: Int) throws {
        try withEdu { edu, buffer, machine in
            #expect(throws: EduError.byteCount(count)) { try edu.load(count, from: buffer.iova) }
            #expect(throws: EduError.byteCount(count)) { try edu.store(count, to: buffer.iova) }
            #expect("\(EduError.byteCount(count))" == "an edu moves 1 to 4096 bytes at once, not \(count)")
        }
    }

    @Test func movesAllOfItsBuffer() throws {
        try withEdu { edu, buffer, machine in
            let bytes = (0..<4096).map { UInt8(truncatingIfNeeded: $0 &* 7) }
            for completion in [Edu.Completion.polling, .interrupt] {
                buffer.copy(bytes)
                try edu.load(4096, from: buffer.iova, completion: completion)
                buffer.copy([UInt8](repeating: 0, count: 4096))
                try edu.store(4096, to: buffer.iova, completion: completion)
                #expect(buffer.bytes(count: 4096) == bytes)
            }
            // Acknowledged, so the next one comes.
            let pending = machine.withDevice(EduModel.self, at: Self.edu) { model, _ in model.interruptStatus }
            #expect(pending == 0)
        }
    }

    @Test func knowsAnotherDevice() throws {
        let machine = MockMachine()
        machine.plug(NVMeMemoryModel(), at: Self.disk)
        let space = try AddressSpace(kernel: machine.kernel)
        let error = EduError.notAnEdu(vendor: 0x1b36, device: 0x10)
        #expect(throws: error) { _ = try Edu(at: Self.disk, in: space) }
        #expect("\(error)" == "the device is no edu (1234:11e8) but 1b36:10")
        // It was given back.
        let device = try Device(at: Self.disk, in: space)
        try device.close()
    }

    @Test func tellsOfARegisterThatDoesNotAnswer() throws {
        try withEdu { edu, buffer, machine in
            // The mock lets nobody map these registers, so each access is a system call, which can fail.
            machine.failNextCall(.pread, with: .ioError)
            let refused = expectError { _ = try edu.factorial(of: 5) }
            #expect(refused?.errno == .ioError)
            machine.failNextCall(.pwrite, with: .ioError)
            let lost = expectError { try edu.load(64, from: buffer.iova, completion: .interrupt) }
            #expect(lost?.errno == .ioError)
            let result = try edu.factorial(of: 5)
            #expect(result == 120)
        }
    }

    @Test func doesNotWaitForEver() throws {
        try withEdu(Stuck(), timeout: .milliseconds(20)) { edu, buffer, machine in
            #expect(throws: EduError.timedOut("compute 5!")) { try edu.factorial(of: 5) }
            #expect(throws: EduError.timedOut("move 64 bytes")) { try edu.load(64, from: buffer.iova) }
            // An interrupt of earlier does not count.
            machine.withDevice(Stuck.self, at: Self.edu) { _, bus in bus.raiseMSI() }
            #expect(throws: EduError.timedOut("move 64 bytes")) {
                try edu.store(64, to: buffer.iova, completion: .interrupt)
            }
            #expect("\(EduError.timedOut("move 64 bytes"))" == "the edu did not finish in time: move 64 bytes")
        }
    }

    /// Each of the calls that opening makes fails once; the driver throws it, and lets go of all that it had.
    @Test func leaksNothingWhenItCannotBeOpened() throws {
        var failures = 0
        for skipped in 0..<100 {
            let machine = MockMachine()
            machine.plug(EduModel(), at: Self.edu)
            do {
                let space = try AddressSpace(kernel: machine.kernel)
                machine.failNextCall(.ioctl, with: .noMemory, skipping: skipped)
                do {
                    let edu = try Edu(at: Self.edu, in: space)
                    if machine.pendingFailureCount == 1 {
                        machine.clearFailures()
                        try edu.close()
                        #expect(failures > 3)
                        return
                    }
                    try edu.close()
                } catch { failures += 1 }
            }
            #expect(machine.openFiles.isEmpty, "after \(skipped) calls")
        }
        Issue.record("opening never ended")
    }

    private func expectError(_ body: () throws -> Void) -> VFIOError? {
        do {
            try body()
            Issue.record("nothing was thrown")
        } catch EduError.vfio(let error) { return error } catch { Issue.record("\(error) was thrown") }
        return nil
    }

    /// An edu that takes every order and finishes none.
    private struct Stuck: MockDevice {
        let pci = EduModel().pci

        func read(bar: Int, at offset: UInt64, width: Int, bus: borrowing MockBus) -> UInt64 { 1 }
    }
}
