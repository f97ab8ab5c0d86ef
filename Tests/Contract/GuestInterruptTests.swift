@testable import VFIO
@testable import VFIOPassthrough

/// Interrupts that KVM delivers to a guest, and writes of the guest that it passes on.
extension Contract.GuestInterruptTests {
    @Test("KVM takes a device's MSI from its event", arguments: Scenario.all)
    func msi(_ scenario: Scenario) throws {
        try scenario.runWithKVM { bench, raw in
            let machine = try VirtualMachine(raw.descriptor, kernel: bench.kernel)
            let edu = try EduDriver(at: bench.edu, in: bench.makeSpace())
            let vector = try edu.device.enable(.msi)
            expectRefusal(.invalidArgument, .invalidArgument) { _ = try machine.makeIRQFD(for: vector, to: 5) }
            _ = try raw.makeInterruptController()
            let connection = try machine.makeIRQFD(for: vector, to: 5)
            #expect(connection.interruptLine == 5)
            expectRefusal(.busy, .resourceBusy) { _ = try machine.makeIRQFD(for: vector, to: 6) }
            // An interrupt of the device's own. It is the guest's: nothing is left to see here.
            try edu.device.withRegisters(.bar0) { $0.write32(1, at: 0x60) }
            #expect(try eventually { try edu.interruptStatus() == 1 })
            try edu.acknowledge(1)
            #expect(try vector.wait(timeout: .milliseconds(100)) == nil)
            try connection.close()
            // From now on it is the program's again.
            try edu.device.withRegisters(.bar0) { $0.write32(2, at: 0x60) }
            #expect(try vector.wait(timeout: .seconds(10)) == 1)
            try edu.acknowledge(2)
            let again = try machine.makeIRQFD(for: vector, to: 5)
            // The vector may end first.
            try closeAll(vector, again, edu)
        }
    }

    @Test("INTx is connected with its acknowledgement", arguments: Scenario.all)
    func intx(_ scenario: Scenario) throws {
        try scenario.runWithKVM { bench, raw in
            let machine = try VirtualMachine(raw.descriptor, kernel: bench.kernel)
            _ = try raw.makeInterruptController()
            let edu = try EduDriver(at: bench.edu, in: bench.makeSpace())
            let vector = try edu.device.enable(.intx)
            let connection = try machine.makeIRQFD(for: vector, to: 10)
            try vector.trigger()
            #expect(try vector.wait(timeout: .milliseconds(100)) == nil)
            try connection.close()
            try vector.trigger()
            #expect(try vector.wait(timeout: .seconds(10)) == 1)
            try closeAll(vector, edu)
        }
    }

    @Test("one of several vectors is connected", arguments: Scenario.all)
    func msix(_ scenario: Scenario) throws {
        try scenario.runWithKVM { bench, raw in
            let machine = try VirtualMachine(raw.descriptor, kernel: bench.kernel)
            _ = try raw.makeInterruptController()
            let device = try Device(at: bench.nvme, in: bench.makeSpace())
            let vectors = try device.enable(.msix, vectors: 0..<4)
            let connection = try machine.makeIRQFD(for: vectors, vector: 2, to: 20)
            expectRefusal(.notFound) { _ = try machine.makeIRQFD(for: vectors, vector: 9, to: 21) }
            try vectors.trigger()
            #expect(try vectors.wait(1, timeout: .seconds(10)) == 1)
            #expect(try vectors.wait(2, timeout: .milliseconds(100)) == nil)
            try closeAll(connection, vectors, device)
        }
    }

    @Test("a guest's write is connected with a register", arguments: Scenario.all)
    func doorbell(_ scenario: Scenario) throws {
        try scenario.runWithKVM { bench, raw in
            let machine = try VirtualMachine(raw.descriptor, kernel: bench.kernel)
            let device = try Device(at: bench.memory, in: bench.makeSpace())
            try device.setMemoryDecode(true)
            let one = try machine.makeIOEventFD(
                try device.makeIOEventFD(UInt32(1), at: 0x1000, of: .bar2), at: 0xc000_1000)
            #expect(one.address == 0xc000_1000)
            // Another value is another event; the same one is not.
            let two = try machine.makeIOEventFD(
                try device.makeIOEventFD(UInt32(2), at: 0x1000, of: .bar2), at: 0xc000_1000)
            expectRefusal(.busy, .fileExists) {
                _ = try machine.makeIOEventFD(
                    try device.makeIOEventFD(UInt32(1), at: 0x2000, of: .bar2), at: 0xc000_1000)
            }
            expectRefusal(.misaligned) {
                _ = try machine.makeIOEventFD(
                    try device.makeIOEventFD(UInt32(3), at: 0x1000, of: .bar2), at: 0xc000_1002)
            }
            try one.close()
            let again = try machine.makeIOEventFD(
                try device.makeIOEventFD(UInt32(1), at: 0x1000, of: .bar2), at: 0xc000_1000)
            try closeAll(again, two, device)
        }
    }

    @Test("the kernel's own answers to events", arguments: Scenario.all)
    func answers(_ scenario: Scenario) throws {
        try scenario.runWithKVM { bench, raw in
            let event = try bench.kernel.makeEvent()
            let other = try bench.kernel.makeEvent()
            let end = CKVM_IRQFD_FLAG_DEASSIGN
            expectErrno(.invalidArgument) { try raw.interrupt(event.rawValue, line: 5, flags: 1 << 7) }
            expectErrno(.invalidArgument) { try raw.interrupt(9999, line: 5) }
            _ = try raw.makeInterruptController()
            expectErrno(.fileExists) { try raw.makeInterruptController() }
            expectErrno(.badFileDescriptor) { try raw.interrupt(9999, line: 5) }
            expectErrno(.invalidArgument) { try raw.interrupt(raw.descriptor.rawValue, line: 5) }
            expectErrno(.badFileDescriptor) {
                try raw.interrupt(event.rawValue, line: 5, flags: CKVM_IRQFD_FLAG_RESAMPLE, resample: 9999)
            }
            #expect(try raw.interrupt(event.rawValue, line: 5) == 0)
            expectErrno(.resourceBusy) { try raw.interrupt(event.rawValue, line: 5) }
            expectErrno(.resourceBusy) { try raw.interrupt(event.rawValue, line: 6) }
            // By another descriptor, and for another machine.
            let copy = try bench.kernel.duplicate(event)
            expectErrno(.resourceBusy) { try raw.interrupt(copy.rawValue, line: 6) }
            let second = try RawMachine(bench.kernel)
            _ = try second.makeInterruptController()
            expectErrno(.resourceBusy) { try second.interrupt(event.rawValue, line: 5) }
            try second.close()
            #expect(
                try raw.interrupt(
                    other.rawValue, line: 5, flags: CKVM_IRQFD_FLAG_RESAMPLE, resample: event.rawValue) == 0)
            // What is not there ends as well; an eventfd it has to be.
            #expect(try raw.interrupt(event.rawValue, line: 9, flags: end) == 0)
            expectErrno(.resourceBusy) { try raw.interrupt(event.rawValue, line: 5) }
            expectErrno(.badFileDescriptor) { try raw.interrupt(9999, line: 5, flags: end) }
            #expect(try raw.interrupt(copy.rawValue, line: 5, flags: end) == 0)
            #expect(try raw.interrupt(event.rawValue, line: 6) == 0)

            let match = CKVM_IOEVENTFD_FLAG_DATAMATCH
            let stop = CKVM_IOEVENTFD_FLAG_DEASSIGN
            expectErrno(.invalidArgument) { try raw.doorbell(event.rawValue, at: 0x1000, length: 3) }
            expectErrno(.invalidArgument) { try raw.doorbell(event.rawValue, at: .max, length: 4) }
            expectErrno(.invalidArgument) { try raw.doorbell(event.rawValue, at: 0, length: 0, flags: match) }
            expectErrno(.invalidArgument) { try raw.doorbell(event.rawValue, at: 0, length: 4, flags: 1 << 9) }
            expectErrno(.badFileDescriptor) { try raw.doorbell(9999, at: 0x1000, length: 4) }
            expectErrno(.invalidArgument) { try raw.doorbell(raw.descriptor.rawValue, at: 0x1000, length: 4) }
            #expect(try raw.doorbell(event.rawValue, at: 0x1000, length: 4, value: 1, flags: match) == 0)
            #expect(try raw.doorbell(event.rawValue, at: 0x1000, length: 4, value: 2, flags: match) == 0)
            #expect(try raw.doorbell(event.rawValue, at: 0x1000, length: 2) == 0)
            expectErrno(.fileExists) { try raw.doorbell(event.rawValue, at: 0x1000, length: 4) }
            expectErrno(.fileExists) { try raw.doorbell(other.rawValue, at: 0x1000, length: 0) }
            expectErrno(.noSuchFileOrDirectory) {
                try raw.doorbell(event.rawValue, at: 0x1000, length: 4, value: 3, flags: match | stop)
            }
            expectErrno(.noSuchFileOrDirectory) {
                try raw.doorbell(other.rawValue, at: 0x1000, length: 4, value: 1, flags: match | stop)
            }
            #expect(try raw.doorbell(copy.rawValue, at: 0x1000, length: 4, value: 1, flags: match | stop) == 0)
            try bench.kernel.close(copy)
            try bench.kernel.close(other)
            try bench.kernel.close(event)
        }
    }
}
