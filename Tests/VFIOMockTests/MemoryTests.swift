import CVFIO
import Glibc
import SystemPackage
import Testing
import VFIO
import VFIOMock

@Suite("Memory")
struct MemoryTests {
    static let edu: PCIAddress = "0000:00:02.0"

    @Test func dmaOutlivesMunmap() throws {
        let machine = PathTests.makeMachine(.stock)
        let driver = Driver(machine)
        let (container, group, device) = try driver.openLegacy(Self.edu, group: 1)
        try driver.setCommand(device, 6)
        let memory = try driver.allocate(4096)
        memory[0] = 0x42
        try driver.map(container, memory.baseAddress!, 4096, at: 0x1000)
        try driver.kernel.unmap(memory)
        try driver.transfer(device, iova: 0x1000, 1, toMemory: false)
        #expect(machine.withDevice(EduModel.self, at: Self.edu) { edu, _ in edu.buffer[0] } == 0x42)
        #expect(machine.faults.isEmpty)
        try driver.close(device, group, container)
    }

    @Test func partOfAnAllocationCanBeUnmapped() throws {
        let machine = PathTests.makeMachine(.stock)
        let driver = Driver(machine)
        let (container, group, device) = try driver.openLegacy(Self.edu, group: 1)
        try driver.setCommand(device, 6)
        let memory = try driver.allocate(3 * 4096)
        memory[2 * 4096] = 3
        try driver.kernel.unmap(UnsafeMutableRawBufferPointer(rebasing: memory[4096..<8192]))
        #expect(throws: Errno.badAddress) { try driver.map(container, memory.baseAddress!, 3 * 4096, at: 0) }
        try driver.map(container, memory.baseAddress!, 4096, at: 0)
        try driver.map(container, memory.baseAddress! + 8192, 4096, at: 0x1000)
        try driver.transfer(device, iova: 0x1000, 1, toMemory: false)
        #expect(machine.withDevice(EduModel.self, at: Self.edu) { edu, _ in edu.buffer[0] } == 3)
        try driver.close(device, group, container)
    }

    @Test func memoryFromElsewhereIsUsedInPlace() throws {
        let machine = PathTests.makeMachine(.stock)
        let driver = Driver(machine)
        let (container, group, device) = try driver.openLegacy(Self.edu, group: 1)
        try driver.setCommand(device, 6)
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 4096)
        defer { memory.deallocate() }
        memory.initializeMemory(as: UInt8.self, repeating: 9)
        try driver.map(container, memory.baseAddress!, 4096, at: 0)
        try driver.transfer(device, iova: 0, 4, toMemory: false)
        try driver.transfer(device, iova: 0x800, 4, toMemory: true)
        memory[0x800 + 4] = 1
        #expect(Array(memory[0x800..<0x805]) == [9, 9, 9, 9, 1])
        #expect(throws: Errno.badAddress) {
            try driver.map(container, UnsafeMutableRawPointer(bitPattern: 0x1000)!, 4096, at: 0x10000)
        }
        try driver.close(device, group, container)
    }

    @Test(arguments: [2 << 20, 1 << 30])
    func hugePagesAreAligned(size: Int) throws {
        let kernel = MockMachine().kernel
        let memory = try kernel.map(MemoryMapRequest(byteCount: 4096, source: .anonymous(hugePageSize: size)))
        #expect(UInt(bitPattern: memory) % UInt(size) == 0)
        memory.storeBytes(of: 1, toByteOffset: size - 1, as: UInt8.self)
        try kernel.unmap(UnsafeMutableRawBufferPointer(start: memory, count: size))
    }

    @Test func aTouchWhileMemoryDecodeIsOffIsABusError() async {
        await #expect(processExitsWith: .signal(SIGBUS)) {
            let driver = Driver(PathTests.makeMachine(.stock))
            let (_, _, device) = try driver.openLegacy("0000:00:03.0", group: 2)
            let window = try driver.mapBAR(device, 2, 4096)
            window[0] = 1
            try driver.setCommand(device, 0)
            window[0] = 2
        }
    }

    @Test func mappingsComeBackWithMemoryDecode() throws {
        let driver = Driver(PathTests.makeMachine(.stock))
        let (container, group, device) = try driver.openLegacy("0000:00:03.0", group: 2)
        let window = try driver.mapBAR(device, 2, 8192)
        window[4096] = 7
        try driver.setCommand(device, 0)
        let late = try driver.mapBAR(device, 2, 8192)
        try driver.setCommand(device, 2)
        #expect(window[4096] == 7 && late[4096] == 7)
        try driver.kernel.unmap(window)
        try driver.kernel.unmap(late)
        try driver.close(device, group, container)
    }

    @Test func aMappedBARKeepsItsDeviceOpen() throws {
        let machine = PathTests.makeMachine(.stock)
        let driver = Driver(machine)
        let (container, group, device) = try driver.openLegacy("0000:00:03.0", group: 2)
        let window = try driver.mapBAR(device, 2, 4096)
        try driver.close(device, group, container)
        #expect(machine.openFiles.map(\.kind) == [.group(2), .device("0000:00:03.0")])
        #expect(machine.descriptorCount == 0)
        try driver.kernel.unmap(window)
        #expect(machine.openFiles.isEmpty)
    }
}
