@testable import VFIO

/// Interrupts: what a device has, how they come, how they end.
extension Contract.InterruptTests {
    @Test("a device says which interrupts it has", arguments: Scenario.all)
    func counts(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        let edu = try Device(at: bench.edu, in: space)
        let memory = try Device(at: bench.memory, in: space)
        let nvme = try Device(at: bench.nvme, in: space)
        #expect(try edu.interruptCount(.intx) == 1)
        #expect(try edu.interruptCount(.msi) == 1)
        #expect(try edu.interruptCount(.msix) == 0)
        #expect(try edu.interruptCount(.request) == 1)
        #expect(try memory.interruptCount(.msi) == 0)
        #expect(try nvme.interruptCount(.msix) == 65)
        #expect(try nvme.interruptCount(.error) == 1)
        if bench.offer.hasErrorInterrupt {
            #expect(try edu.interruptCount(.error) == 1)
        } else {
            expectRefusal(.notFound, .invalidArgument) { _ = try edu.interruptCount(.error) }
        }
        expectRefusal(.notFound) { _ = try edu.interruptCount(InterruptIndex(rawValue: 5)) }
        try closeAll(nvme, memory, edu)
    }

    @Test("kinds of interrupts have their flags", arguments: Scenario.all)
    func flags(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.nvme, in: bench.makeSpace())
        let intx = try device.interruptFlags(.intx)
        #expect(intx.isMaskable && intx.isAutomasked && !intx.isFixedSize)
        let msix = try device.interruptFlags(.msix)
        #expect(!msix.isMaskable && !msix.isAutomasked)
        #expect(msix.isFixedSize == !bench.offer.hasDynamicMSIX)
        let edu = try Device(at: bench.edu, in: device.space)
        let msi = try edu.interruptFlags(.msi)
        #expect(!msi.isMaskable && !msi.isAutomasked && msi.isFixedSize)
        try closeAll(edu, device)
    }

    @Test("an MSI comes when the device raises it [vfio_pci_driver_test.send_msi]", arguments: Scenario.all)
    func msi(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let edu = try EduDriver(at: bench.edu, in: bench.makeSpace())
        let vector = try edu.device.enable(.msi)
        #expect(vector.index == .msi)
        #expect(vector.vector == 0)
        #expect(try vector.poll() == nil)
        #expect(try vector.wait(timeout: .milliseconds(1)) == nil)
        try edu.raise(1)
        #expect(try vector.wait(timeout: .seconds(10)) == 1)
        #expect(try edu.interruptStatus() == 1)
        try edu.acknowledge(1)
        #expect(try edu.interruptStatus() == 0)
        #expect(try vector.poll() == nil)
        try edu.raise(2)
        #expect(try vector.wait() == 1)
        try edu.acknowledge(2)
        try closeAll(vector, edu)
    }

    @Test("an MSI announces the end of a transfer", arguments: Scenario.all)
    func dmaInterrupt(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        let edu = try EduDriver(at: bench.edu, in: space)
        let buffer = try space.allocate(byteCount: 4096)
        let vector = try edu.device.enable(.msi)
        try edu.load(16, from: buffer.iova, interrupting: true)
        #expect(try vector.wait(timeout: .seconds(10)) == 1)
        #expect(try edu.interruptStatus() == 0x100)
        try edu.acknowledge(0x100)
        try closeAll(vector, buffer, edu)
    }

    @Test("with bus master off no MSI arrives", arguments: Scenario.all)
    func busMasterOff(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let edu = try EduDriver(at: bench.edu, in: bench.makeSpace())
        let vector = try edu.device.enable(.msi)
        try edu.device.updateCommand { $0.remove(.busMaster) }
        try edu.raise(1)
        #expect(try vector.wait(timeout: .milliseconds(100)) == nil)
        try edu.acknowledge(1)
        try edu.device.updateCommand { $0.insert(.busMaster) }
        try edu.expectInterrupt(1, vector)
        try closeAll(vector, edu)
    }

    @Test("INTx comes masked, until it is unmasked", arguments: Scenario.all)
    func intx(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let edu = try EduDriver(at: bench.edu, in: bench.makeSpace())
        let vector = try edu.device.enable(.intx)
        try edu.raise(1)
        #expect(try vector.wait(timeout: .seconds(10)) == 1)
        // The level is still raised, and the kernel has masked it.
        #expect(try vector.wait(timeout: .milliseconds(50)) == nil)
        try vector.unmask()
        #expect(try vector.wait(timeout: .seconds(10)) == 1)
        try edu.acknowledge(1)
        try vector.unmask()
        #expect(try vector.wait(timeout: .milliseconds(50)) == nil)
        try edu.expectInterrupt(1, vector)
        try closeAll(vector, edu)
    }

    @Test("interrupts are counted between two looks", arguments: Scenario.all)
    func counted(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.edu, in: bench.makeSpace())
        let vector = try device.enable(.msi)
        for _ in 0..<3 { try vector.trigger() }
        #expect(try vector.poll() == 3)
        #expect(try vector.poll() == nil)
        try closeAll(vector, device)
    }

    @Test("enable, trigger, disable [vfio_pci_irq_test.enable_trigger_disable msix]", arguments: Scenario.all)
    func enableTriggerDisable(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.nvme, in: bench.makeSpace())
        var vectors: [Vector] = []
        for number in 0..<16 { vectors.append(Vector(try device.enable(.msix, vector: number))) }
        for vector in vectors { #expect(try vector.poll() == nil) }
        for vector in vectors { try vector.trigger() }
        for vector in vectors {
            #expect(try vector.poll() == 1)
            #expect(try vector.poll() == nil)
        }
        for vector in vectors { try vector.close() }
        try device.close()
    }

    @Test("vectors come and go one by one, in any order", arguments: Scenario.all)
    func oneByOne(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.nvme, in: bench.makeSpace())
        let last = try device.enable(.msix, vector: 64)
        let third = try device.enable(.msix, vector: 3)
        let first = try device.enable(.msix, vector: 0)
        try third.trigger()
        try last.trigger()
        #expect(try third.poll() == 1)
        #expect(try last.poll() == 1)
        #expect(try first.poll() == nil)
        try third.close()
        try last.expectTrigger()
        let again = try device.enable(.msix, vector: 3)
        try again.expectTrigger()
        try first.expectTrigger()
        try closeAll(last, first, again, device)
    }

    @Test("a vector is on once, one kind at a time, and only if there is one", arguments: Scenario.all)
    func conflicts(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.edu, in: bench.makeSpace())
        let vector = try device.enable(.msi)
        expectRefusal(.busy) { _ = try device.enable(.msi) }
        expectRefusal(.busy) { _ = try device.enable(.intx) }
        expectRefusal(.notFound) { _ = try device.enable(.msi, vector: 1) }
        expectRefusal(.notFound) { _ = try device.enable(.msi, vector: -1) }
        expectRefusal(.notFound) { _ = try device.enable(.msix) }
        // Not an interrupt of the device, so it goes with any.
        let request = try device.enable(.request)
        try request.expectTrigger()
        try closeAll(request, vector)
        // Off, the way is free for the other kind, and for the same again.
        let intx = try device.enable(.intx)
        try intx.close()
        let again = try device.enable(.msi)
        try again.expectTrigger()
        try closeAll(again, device)
    }

    @Test("MSI can be on again and again, and still comes", arguments: Scenario.all)
    func again(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let edu = try EduDriver(at: bench.edu, in: bench.makeSpace())
        for _ in 0..<4 {
            let vector = try edu.device.enable(.msi)
            try edu.expectInterrupt(1, vector)
            try vector.close()
        }
        try edu.close()
    }

    @Test("interrupts as a sequence, which ends with the vector", .timeLimit(.minutes(15)), arguments: Scenario.all)
    func events(_ scenario: Scenario) async throws {
        let bench = try scenario.makeBench()
        let edu = try EduDriver(at: bench.edu, in: bench.makeSpace())
        let vector = try edu.device.enable(.msi)
        let events = vector.events
        let counter = Task {
            var counts: [UInt64] = []
            for try await count in events {
                counts.append(count)
                if counts.count == 2 { break }
            }
            return counts
        }
        try edu.raise(1)
        // One after the other, so that they are two.
        #expect(try eventually { try edu.interruptStatus() == 1 })
        try edu.acknowledge(1)
        let first = try await Self.firstEvent(of: edu, events, raised: counter)
        #expect(first.allSatisfy { $0 >= 1 })
        let waiter = Task {
            for try await _ in events {}
            return true
        }
        try vector.close()
        #expect(try await waiter.value)
        // Although what is left of the sequence is still here.
        try edu.close()
    }

    /// Raises until the task has seen what it wants.
    private static func firstEvent(
        of edu: borrowing EduDriver, _ events: InterruptEvents, raised counter: Task<[UInt64], any Error>
    ) async throws -> [UInt64] {
        try edu.raise(2)
        try edu.acknowledge(2)
        for _ in 0..<20 {
            try await Task.sleep(for: .milliseconds(20))
            try edu.raise(4)
            try edu.acknowledge(4)
        }
        return try await counter.value
    }

    @Test("a task that waits can be cancelled", .timeLimit(.minutes(15)), arguments: Scenario.all)
    func cancel(_ scenario: Scenario) async throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.edu, in: bench.makeSpace())
        let vector = try device.enable(.msi)
        let events = vector.events
        let waiter = Task {
            var count = 0
            for try await _ in events { count += 1 }
            return count
        }
        try await Task.sleep(for: .milliseconds(50))
        waiter.cancel()
        #expect(try await waiter.value == 0)
        try vector.expectTrigger()
        try vector.close()
        // Although what is left of the sequence is still here.
        try device.close()
    }

    /// A vector in a collection.
    private final class Vector {
        private var vector: InterruptVector?

        init(_ vector: consuming InterruptVector) { self.vector = consume vector }

        func poll() throws -> UInt64? {
            switch vector {
            case .some(let vector): try vector.poll()
            case .none: nil
            }
        }

        func trigger() throws {
            switch vector {
            case .some(let vector): try vector.trigger()
            case .none: return
            }
        }

        func close() throws { try vector.take()!.close() }
    }
}

extension Device {
    func interruptCount(_ index: InterruptIndex) throws -> Int { try interrupts(index).count }

    fileprivate func interruptFlags(
        _ index: InterruptIndex
    ) throws -> (isMaskable: Bool, isAutomasked: Bool, isFixedSize: Bool) {
        let kind = try interrupts(index)
        return (kind.isMaskable, kind.isAutomasked, kind.isFixedSize)
    }
}
