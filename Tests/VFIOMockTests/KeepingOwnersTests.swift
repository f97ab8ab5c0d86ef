import Glibc
import Synchronization

/// The code of the article KeepingOwners, as it stands there.
@Suite struct KeepingOwnersTests {
    private static let address: PCIAddress = "0000:00:02.0"

    private static func machine() -> MockMachine {
        let machine = MockMachine()
        machine.plug(EduModel(), at: address)
        return machine
    }

    /// A space that buffers can be mapped into: type1's wants a device first.
    private static func withSpace(_ body: (AddressSpace) async throws -> Void) async throws {
        let machine = machine()
        do {
            let space = try AddressSpace(kernel: machine.kernel)
            let device = try Device(at: address, in: space)
            try await body(space)
            try device.close()
        }
        #expect(machine.openFiles.isEmpty)
        #expect(machine.mappings.isEmpty)
    }

    // MARK: A struct

    struct Engine: ~Copyable {
        let device: Device
        let registers: RegisterBank
        let ring: DMABuffer
        let done: InterruptVector

        init(at address: PCIAddress, in space: AddressSpace) throws(VFIOError) {
            let device = try Device(at: address, in: space)
            try device.config.updateCommand { $0.formUnion([.memoryDecode, .busMaster]) }
            let registers = try device.makeRegisterBank(of: .bar0)
            let ring = try space.allocate(byteCount: 4096, placement: .addressWidth(28))
            let done = try device.interrupts(.msi).enable()
            self.device = device
            self.registers = registers
            self.ring = ring
            self.done = done
        }

        mutating func invert(_ number: UInt32) -> UInt32 {
            registers.write32(number, at: 0x04)
            let result = registers.read32(at: 0x04)
            ring.extracting(0..<8).write32(result, at: 0)
            return result
        }

        consuming func close() throws(VFIOError) {
            try done.close()
            try ring.close()
            try registers.close()
            try device.close()
        }
    }

    @Test func aStruct() throws {
        let machine = Self.machine()
        do {
            var engine = try Engine(at: Self.address, in: AddressSpace(kernel: machine.kernel))
            #expect(engine.invert(0xff) == 0xffff_ff00)
            #expect(engine.ring.read32(at: 0) == 0xffff_ff00)
            try engine.close()
        }
        #expect(machine.openFiles.isEmpty)
        #expect(machine.mappings.isEmpty)
    }

    // MARK: A class

    final class Buffers {
        private let ring: DMABuffer
        private var spare: DMABuffer?

        init(in space: AddressSpace) throws(VFIOError) {
            ring = try space.allocate(byteCount: 4096)
            spare = try space.allocate(byteCount: 4096)
        }

        func fill() {
            ring.withMemory(0..<16) { $0.write64(1, at: 0) }
            spare?.withMemory { $0.write64(2, at: 0) }
        }

        func first() -> UInt64 {
            switch spare {
            case let spare?: spare.memory.read64(at: 0)
            case nil: ring.read64(at: 0)
            }
        }

        func close() throws(VFIOError) { try spare.take()?.close() }

        /// Not in the article: what it warns of.
        func closeUnderAView() { spare?.withMemory { _ in try? spare.take()?.close() } }
    }

    @Test func aClass() async throws {
        try await Self.withSpace { space in
            let buffers = try Buffers(in: space)
            buffers.fill()
            #expect(buffers.first() == 2)
            try buffers.close()
            #expect(buffers.first() == 1)
            try buffers.close()
        }
    }

    @Test func closingUnderAViewStopsTheProgram() async {
        await #expect(processExitsWith: .signal(SIGABRT)) {
            let space = try AddressSpace(kernel: KeepingOwnersTests.machine().kernel)
            let device = try Device(at: KeepingOwnersTests.address, in: space)
            try Buffers(in: space).closeUnderAView()
            try device.close()
        }
    }

    // MARK: An actor

    struct Closed: Error {}

    actor Driver {
        private var engine: Engine?
        private(set) var interrupts: UInt64 = 0

        init(at address: PCIAddress, in space: AddressSpace) throws(VFIOError) {
            engine = try Engine(at: address, in: space)
        }

        func invert(_ number: UInt32) throws -> UInt32 {
            guard let result = engine?.invert(number) else { throw Closed() }
            return result
        }

        /// Returns when the driver is closed.
        func handleInterrupts() async throws {
            guard let events = engine?.done.events else { throw Closed() }
            for try await count in events { interrupts += count }
        }

        func close() throws(VFIOError) { try engine.take()?.close() }

        /// Not in the article: has the device raise its interrupt.
        func raise() { engine?.registers.write32(1, at: 0x60) }
    }

    @Test(.timeLimit(.minutes(15))) func anActor() async throws {
        let machine = Self.machine()
        do {
            let driver = try Driver(at: Self.address, in: AddressSpace(kernel: machine.kernel))
            #expect(try await driver.invert(1) == 0xffff_fffe)
            let handler = Task { try await driver.handleInterrupts() }
            await driver.raise()
            while await driver.interrupts == 0 { await Task.yield() }
            try await driver.close()
            try await handler.value
            await #expect(throws: Closed.self) { try await driver.invert(1) }
            try await driver.close()
        }
        #expect(machine.mappings.isEmpty)
    }

    // MARK: Many buffers

    struct Four: ~Copyable {
        var buffers: [4 of DMABuffer?]

        init(in space: AddressSpace) throws(VFIOError) {
            buffers = try InlineArray { (_) throws(VFIOError) in try space.allocate(byteCount: 4096) }
        }

        func fill() {
            for index in buffers.indices { buffers[index]?.withMemory { $0.write32(UInt32(index), at: 0) } }
        }

        mutating func close() throws(VFIOError) {
            for index in buffers.indices { try buffers[index].take()?.close() }
        }
    }

    final class Request {
        private var buffer: DMABuffer?

        init(in space: AddressSpace) throws(VFIOError) { buffer = try space.allocate(byteCount: 4096) }

        func fill() { buffer?.withMemory { $0.write32(1, at: 0) } }
        func close() throws(VFIOError) { try buffer.take()?.close() }
    }

    @Test func manyBuffers() async throws {
        try await Self.withSpace { space in
            var four = try Four(in: space)
            four.fill()
            #expect(four.buffers[3]?.read32(at: 0) == 3)
            try four.close()
            var requests: [Request] = []
            for _ in 0..<9 { requests.append(try Request(in: space)) }
            for request in requests { request.fill() }
            for request in requests { try request.close() }
        }
    }

    // MARK: A lock, and tasks

    struct State: ~Copyable {
        var ring: DMABuffer?
        var used = 0
    }

    @Test func underALock() async throws {
        try await Self.withSpace { space in
            let state = Mutex(State(ring: try space.allocate(byteCount: 4096)))
            state.withLock { state in
                state.ring?.withMemory(0..<16) { $0.write64(1, at: 0) }
                state.used += 1
            }
            try state.withLock { $0.ring.take() }?.close()
        }
    }

    @Test func intoATask() async throws {
        try await Self.withSpace { space in
            let ring = try space.allocate(byteCount: 4096)
            var kept: DMABuffer? = ring
            let task = Task { [ring = kept.take()!] in ring.withMemory { $0.read64(at: 0) } }
            #expect(await task.value == 0)
        }
    }
}
