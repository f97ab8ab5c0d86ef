@testable import VFIO

/// Events that the kernel turns into writes of registers.
extension Contract.DeviceIOEventFDTests {
    @Test("a signal writes the value, with its width", arguments: Scenario.all)
    func write(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.memory, in: bench.makeSpace())
        try device.setMemoryDecode(true)
        try Self.clear(device)
        let narrow = try device.makeIOEventFD(UInt8(0x11), at: 1, of: .bar2)
        let half = try device.makeIOEventFD(UInt16(0x2222), at: 2, of: .bar2)
        let word = try device.makeIOEventFD(UInt32(0x3333_3333), at: 4, of: .bar2)
        #expect(try Self.value(device) == 0)
        try narrow.signal()
        #expect(try eventually { try Self.value(device) == 0x1100 })
        try half.signal()
        #expect(try eventually { try Self.value(device) == 0x2222_1100 })
        try word.signal()
        #expect(try eventually { try Self.value(device) == 0x3333_3333_2222_1100 })
        // Any number of times.
        try Self.clear(device)
        try word.signal()
        #expect(try eventually { try Self.value(device) == 0x3333_3333_0000_0000 })
        try Self.clear(device)
        try closeAll(word, half, narrow)
        #expect(try Self.value(device) == 0)
        try device.close()
    }

    @Test("64 bits at once", arguments: Scenario.all)
    func wide(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.memory, in: bench.makeSpace())
        try device.setMemoryDecode(true)
        try Self.clear(device)
        let event = try device.makeIOEventFD(UInt64(0x0123_4567_89ab_cdef), at: 0, of: .bar2)
        try event.signal()
        #expect(try eventually { try Self.value(device) == 0x0123_4567_89ab_cdef })
        try closeAll(event, device)
    }

    @Test("a register's side effect comes too", arguments: Scenario.all)
    func register(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let edu = try EduDriver(at: bench.edu, in: bench.makeSpace())
        let vector = try edu.device.enable(.msi)
        let doorbell = try edu.device.makeIOEventFD(UInt32(2), at: 0x60, of: .bar0)
        try doorbell.signal()
        #expect(try vector.wait(timeout: .seconds(10)) == 1)
        #expect(try edu.interruptStatus() == 2)
        try edu.acknowledge(2)
        try closeAll(doorbell, vector, edu)
    }

    @Test("nothing is written while memory decode is off", arguments: Scenario.all)
    func decodeOff(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.memory, in: bench.makeSpace())
        try device.setMemoryDecode(true)
        try Self.clear(device)
        let event = try device.makeIOEventFD(UInt32(5), at: 0, of: .bar2)
        try device.setMemoryDecode(false)
        try event.signal()
        pause()
        try device.setMemoryDecode(true)
        #expect(try Self.value(device) == 0)
        try event.signal()
        #expect(try eventually { try Self.value(device) == 5 })
        try closeAll(event, device)
    }

    @Test("an event that is let go writes no more, and its place is free", arguments: Scenario.all)
    func letGo(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.memory, in: bench.makeSpace())
        try device.setMemoryDecode(true)
        try Self.clear(device)
        do { _ = try device.makeIOEventFD(UInt32(5), at: 0, of: .bar2) }
        // The same value at the same place would be EEXIST.
        let next = try device.makeIOEventFD(UInt32(5), at: 0, of: .bar2)
        try next.signal()
        #expect(try eventually { try Self.value(device) == 5 })
        try closeAll(next, device)
    }

    @Test("what cannot be written so is refused", arguments: Scenario.all)
    func refusals(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.nvme, in: bench.makeSpace())
        try device.setMemoryDecode(true)
        expectRefusal(.notFound) { _ = try device.makeIOEventFD(UInt32(1), at: 0, of: .config) }
        expectRefusal(.notFound) { _ = try device.makeIOEventFD(UInt32(1), at: 0, of: .bar3) }
        expectRefusal(.outOfRange) { _ = try device.makeIOEventFD(UInt32(1), at: 16384, of: .bar0) }
        expectRefusal(.misaligned) { _ = try device.makeIOEventFD(UInt32(1), at: 2, of: .bar0) }
        // The table of the MSI-X vectors is the kernel's.
        expectRefusal(.kernel, .invalidArgument) {
            _ = try device.makeIOEventFD(UInt32(1), at: 0x2000, of: .bar0)
        }
        let event = try device.makeIOEventFD(UInt32(1), at: 64, of: .bar2)
        expectRefusal(.busy, .fileExists) { _ = try device.makeIOEventFD(UInt32(1), at: 64, of: .bar2) }
        // Another value is another event.
        let other = try device.makeIOEventFD(UInt32(2), at: 64, of: .bar2)
        try closeAll(other, event)
        var request = cvfio_device_ioeventfd()
        request.argsz = UInt32(MemoryLayout<cvfio_device_ioeventfd>.size)
        request.flags = CVFIO_DEVICE_IOEVENTFD_32
        request.fd = -1
        let descriptor = device.core.descriptor
        // There is none to end.
        expectErrno(.operationNotSupportedByDevice) {
            try bench.kernel.control(descriptor, CVFIO_DEVICE_IOEVENTFD, with: &request)
        }
        request.flags = CVFIO_DEVICE_IOEVENTFD_32 | CVFIO_DEVICE_IOEVENTFD_16
        expectErrno(.invalidArgument) { try bench.kernel.control(descriptor, CVFIO_DEVICE_IOEVENTFD, with: &request) }
        try device.close()
    }

    private static func clear(_ device: borrowing Device) throws {
        try device.withRegisters(.bar2) { $0.write64(0, at: 0) }
    }

    private static func value(_ device: borrowing Device) throws -> UInt64 {
        try device.withRegisters(.bar2) { $0.read64(at: 0) }
    }
}
