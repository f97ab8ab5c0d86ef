import Synchronization

@testable import VFIO

/// Devices under several hands at a time, and other cases of the maintainer's tests and of the kernel's.
extension Contract.DeviceCaseTests {
    @Test(
        "several tasks open devices into one address space at once [vfio_pci_device_init_perf_test.init]",
        .timeLimit(.minutes(15)), arguments: Scenario.all)
    func openAtOnce(_ scenario: Scenario) async throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        for _ in 0..<3 {
            let addresses = [bench.edu, bench.memory, bench.nvme, bench.busMemory, bench.busEdu]
            let identities = try await withThrowingTaskGroup(of: UInt32.self) { group in
                for address in addresses {
                    group.addTask {
                        let device = try Device(at: address, in: space)
                        let identity = try device.config.read32(at: 0)
                        try device.close()
                        return identity
                    }
                }
                return try await group.reduce(into: Set<UInt32>()) { $0.insert($1) }
            }
            #expect(identities == [0x11e8_1234, 0x1110_1af4, 0x0010_1b36])
        }
    }

    @Test(
        "good copies, bad copies and interrupts in turn [vfio_pci_driver_test.mix_and_match]",
        arguments: Scenario.all)
    func mixed(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        let edu = try EduDriver(at: bench.edu, in: space)
        let buffer = try space.allocate(byteCount: 8192)
        let vector = try edu.device.enable(.msi)
        for round in 0..<UInt8(3) {
            let bytes = (0..<64).map { UInt8($0) &* 3 &+ round }
            buffer.fill(bytes)
            try edu.load(64, from: buffer.iova)
            try edu.store(64, to: buffer.iova + 4096)
            buffer.expect(bytes, at: 4096)
            try edu.load(64, from: 0x7654_3000)
            #expect(try vector.poll() == nil)
            try edu.expectInterrupt(1, vector)
        }
        try closeAll(vector, buffer, edu)
    }

    @Test("a wrong name opens no device, however often it is asked for [e324fc82ea45]", arguments: Scenario.all)
    func wrongName(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let container = try RawContainer(bench.kernel, device: bench.edu)
        for _ in 0..<200 {
            expectErrno(.operationNotSupportedByDevice) {
                try bench.kernel.control(container.group, CVFIO_GROUP_GET_DEVICE_FD, text: "0000:00:1f.7")
            }
        }
        // The group is none the worse for it.
        let device = FileDescriptor(
            rawValue: Int32(
                try bench.kernel.control(container.group, CVFIO_GROUP_GET_DEVICE_FD, text: "\(bench.edu)")))
        try bench.kernel.close(device)
        try container.close()
    }

    /// What ends several tasks.
    private final class Flag: Sendable { let isOver = Atomic(false) }

    @Test(
        "INTx is switched on and off while others unmask it and wait for it [intx-race]", .timeLimit(.minutes(15)),
        arguments: Scenario.all)
    func interruptRace(_ scenario: Scenario) async throws {
        let bench = try scenario.makeBench()
        let device = try EduDriver(at: bench.edu, in: try bench.makeSpace())
        let descriptor = device.device.core.descriptor
        let kernel = bench.kernel
        let event = try kernel.makeEvent()
        let unmask = try kernel.makeEvent()
        try device.raise(1)
        let flag = Flag()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                for _ in 0..<200 {
                    let trigger = CVFIO_IRQ_SET_ACTION_TRIGGER
                    _ = try kernel.setInterrupts(descriptor, .intx, trigger, 0, 1, events: [event.rawValue])
                    _ = try kernel.setInterrupts(
                        descriptor, .intx, CVFIO_IRQ_SET_ACTION_UNMASK, 0, 1, events: [unmask.rawValue])
                    _ = try kernel.setInterrupts(descriptor, .intx, CVFIO_IRQ_SET_ACTION_MASK, 0, 1)
                    _ = try kernel.setInterrupts(descriptor, .intx, CVFIO_IRQ_SET_ACTION_UNMASK, 0, 1)
                    _ = try kernel.setInterrupts(descriptor, .intx, trigger, 0, 0)
                }
                flag.isOver.store(true, ordering: .releasing)
            }
            group.addTask { while !flag.isOver.load(ordering: .acquiring) { try kernel.signal(unmask) } }
            group.addTask {
                while !flag.isOver.load(ordering: .acquiring) {
                    _ = try kernel.waitUntilReadable(event, timeout: 10)
                    var count: UInt64 = 0
                    _ = try? withUnsafeMutableBytes(of: &count) { try kernel.read(event, into: $0) }
                }
            }
            try await group.waitForAll()
        }
        // It still works.
        try device.acknowledge(1)
        let line = try device.device.enable(.intx)
        try device.raise(1)
        #expect(try line.wait(timeout: .seconds(10)) == 1)
        try device.acknowledge(1)
        try line.close()
        try kernel.close(event)
        try kernel.close(unmask)
        try device.close()
    }

    @Test(
        "two threads touch the first and the last page of a BAR that was mapped anew [vfio-pci-huge-fault-race]",
        .timeLimit(.minutes(15)), arguments: Scenario.all)
    func faultRace(_ scenario: Scenario) async throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.memory, in: try bench.makeSpace())
        let core = device.core
        let region = try device.region(.bar2)
        for round in 0..<UInt32(300) {
            let base = try core.kernel.map(
                MemoryMapRequest(byteCount: 4 << 20, source: .file(core.descriptor, offset: region.offset)))
            let address = UInt(bitPattern: base)
            await withTaskGroup(of: Void.self) { group in
                for offset in [0, UInt(4 << 20) - 4096] {
                    group.addTask { UnsafeMutablePointer<UInt32>(bitPattern: address + offset)!.pointee = round }
                }
            }
            #expect(base.load(as: UInt32.self) == round)
            #expect(base.load(fromByteOffset: (4 << 20) - 4096, as: UInt32.self) == round)
            try core.kernel.unmap(UnsafeMutableRawBufferPointer(start: base, count: 4 << 20))
        }
        try device.close()
    }
}
