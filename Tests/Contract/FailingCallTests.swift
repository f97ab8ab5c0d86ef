@testable import VFIO
@testable import VFIOPassthrough

/// Each system call of the library's main paths fails once, as the kernel's `fail_nth` tests have it for allocations.
extension Contract.FailingCallTests {
    /// An event's own end, after its interrupt was switched off, which is what is reported.
    private static let event = "close of an event"
    /// The end of what a mapping keeps of its dma-buf, to be restored by.
    private static let duplicate = "close of a duplicate"
    /// The look at the registers that tell whether memory responds, after an operation that may have changed it: the
    /// library looks again when it is needed.
    private static let look = "pread of 2 bytes"
    /// The question after a hot reset, which devices it has reset: without an answer all count.
    private static let question = "ioctl 0x3b70"

    private static let one: DeviceUUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa4001"

    @Test("opening a device, whichever call fails [basic_fail_nth.device]", arguments: Scenario.all)
    func open(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        // Registers are reached without a mapping too, and such a mapping ends with the device.
        try bench.failEachCall(harmless: ["mmap", "munmap", Self.look]) { kernel in
            let space = try AddressSpace(scenario.interface, kernel: kernel)
            let device = try Device(at: bench.edu, in: space)
            _ = try device.regions()
            try device.updateCommand { $0.insert([.memoryDecode, .busMaster]) }
            let number = try device.withRegisters(.bar0) { $0.read32(at: 0) }
            #expect(number == 0x0100_00ed)
            try device.close()
        }
    }

    @Test("a second device, whichever call fails [basic_fail_nth.map_two_domains]", arguments: Scenario.all)
    func openTwo(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        try bench.failEachCall { kernel in
            let space = try AddressSpace(scenario.interface, kernel: kernel)
            let edu = try Device(at: bench.edu, in: space)
            let buffer = try space.allocate(byteCount: 8192)
            let memory = try Device(at: bench.memory, in: space)
            let second = try space.allocate(byteCount: 4096)
            try closeAll(second, memory, buffer, edu)
        }
    }

    @Test(
        "mapping memory, whichever call fails [basic_fail_nth.basic, basic_fail_nth.map_domain]",
        arguments: Scenario.all)
    func map(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let memory = try Memory(bench.machine.kernel, pageCount: 4)
        try bench.failEachCall { kernel in
            let space = try AddressSpace(scenario.interface, kernel: kernel)
            let device = try Device(at: bench.memory, in: space)
            let buffer = try space.allocate(byteCount: 3 * 4096)
            let mapping = try space.map(memory.bytes, placement: .fixed(0x40_0000))
            let bar = try device.map(.bar2, 0..<8192)
            try closeAll(bar, mapping, buffer, device)
        }
        try memory.close()
    }

    @Test(
        "files, siblings and page tables, whichever call fails [basic_fail_nth.map_file_domain]",
        arguments: Scenario.all)
    func iommufd(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        guard scenario.usesIOMMUFD else {
            let space = try bench.makeSpace()
            expectRefusal(.unsupported) { _ = try space.makeSibling() }
            return
        }
        let file = try FileDescriptor.inMemory(byteCount: 8192)
        try bench.failEachCall { kernel in
            let space = try AddressSpace(.iommufd, kernel: kernel)
            let device = try Device(at: bench.edu, in: space)
            let sibling = try space.makeSibling()
            let mapping = try space.map(file: file, 0..<8192)
            let copy = try sibling.copy(mapping)
            let table = try device.makePageTable(of: sibling)
            let queue = try space.makeFaultQueue()
            _ = try device.iommuHardware()
            try device.attach(to: table)
            try device.attach(to: space)
            try closeAll(queue, table, copy, mapping, device)
        }
        try file.close()
    }

    @Test("exporting and importing, whichever call fails", arguments: Scenario.all)
    func export(_ scenario: Scenario) throws {
        guard let bench = try scenario.makeBenchWithDMABuf() else { return }
        let virtual = "readlink /sys/bus/pci/devices/\(bench.memory)/physfn"
        try bench.failEachCall(harmless: [Self.duplicate, Self.look, virtual]) { kernel in
            let space = try AddressSpace(scenario.interface, kernel: kernel)
            let device = try Device(at: bench.memory, in: space)
            let window = try device.exportDMABuf(of: .bar2, 0..<16384)
            try window.setName("window")
            if scenario.usesIOMMUFD {
                let peer = try space.map(window)
                try device.setMemoryDecode(false)
                try device.setMemoryDecode(true)
                try peer.restore()
                try peer.close()
            }
            try closeAll(window, device)
        }
    }

    @Test("interrupts, whichever call fails", arguments: Scenario.all)
    func interrupts(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        try bench.failEachCall(harmless: [Self.event]) { kernel in
            let space = try AddressSpace(scenario.interface, kernel: kernel)
            let device = try Device(at: bench.edu, in: space)
            let line = try device.enable(.intx)
            try line.mask()
            try line.withUnmaskEvent { _ in }
            try line.unmask()
            try line.close()
            let message = try device.enable(.msi)
            try message.trigger()
            #expect(try message.wait(timeout: .seconds(10)) == 1)
            let request = try device.enable(.request)
            try closeAll(request, message, device)
        }
    }

    @Test("vectors, whichever call fails", arguments: Scenario.all)
    func vectors(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        try bench.failEachCall(harmless: [Self.event, Self.look]) { kernel in
            let space = try AddressSpace(scenario.interface, kernel: kernel)
            let device = try Device(at: bench.nvme, in: space)
            let vectors = try device.enable(.msix, vectors: [0, 2])
            try vectors.trigger()
            #expect(try vectors.wait(2, timeout: .seconds(10)) == 1)
            let more = try device.enable(.msix, vector: 5)
            try closeAll(more, vectors)
            try device.reset()
            try device.close()
        }
    }

    @Test("a hot reset, whichever call fails", arguments: Scenario.all)
    func hotReset(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        try bench.failEachCall(harmless: [Self.look, Self.question]) { kernel in
            let space = try AddressSpace(scenario.interface, kernel: kernel)
            let edu = try Device(at: bench.busEdu, in: space)
            _ = try edu.hotResetInfo()
            try edu.hotReset()
            try edu.close()
        }
    }

    @Test("low power and register writes, whichever call fails", arguments: Scenario.all)
    func events(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        try bench.failEachCall(harmless: [Self.event, Self.look]) { kernel in
            let space = try AddressSpace(scenario.interface, kernel: kernel)
            let device = try Device(at: bench.memory, in: space)
            let event = try device.makeIOEventFD(UInt32(7), at: 64, of: .bar2)
            try event.signal()
            try event.close()
            try device.enterLowPower()
            try device.leaveLowPower()
            try device.close()
        }
    }

    @Test("tracking dirty pages, whichever call fails", arguments: Scenario.all)
    func dirtyPages(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        guard !scenario.usesIOMMUFD else {
            let space = try bench.makeSpace()
            expectRefusal(.unsupported) { _ = try space.startDirtyTracking() }
            return
        }
        try bench.failEachCall { kernel in
            let space = try AddressSpace(.type1, kernel: kernel)
            let device = try Device(at: bench.edu, in: space)
            let tracking = try space.startDirtyTracking()
            let buffer = try space.allocate(byteCount: 8192)
            #expect(try tracking.dirtyPages(of: buffer).dirtyPageCount == 2)
            try closeAll(buffer, tracking, device)
        }
    }

    private func recover(_ bench: borrowing Bench) throws {
        let device = try Device(mediated: Self.one, in: try bench.makeSpace())
        try device.migration().recover()
        try device.close()
    }

    @Test("saving and restoring, whichever call fails", arguments: Scenario.all)
    func migration(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        try bench.withSerialPorts([Self.one]) {
            try bench.failEachCall { kernel in
                // What failed before may have left the device in the midst of a migration, which outlives its
                // closing.
                try recover(bench)
                let space = try AddressSpace(scenario.interface, kernel: kernel)
                let device = try Device(mediated: Self.one, in: space)
                do {
                    let migration = try device.migration()
                    let state = try migration.save(endingIn: .stop)
                    try migration.restore(state)
                }
                let log = try device.startDMALog(of: [0x1000..<0x2000])
                #expect(try log.takeDirtyPages(in: 0x1000..<0x2000).isEmpty)
                try closeAll(log, device)
            }
        }
    }
}
