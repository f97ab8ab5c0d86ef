/// The least of a driver for an `NVMeModel`: queues in one buffer, commands and completions as they are in memory.
final class NVMeHost {
    typealias Status = NVMeModel.Status

    /// An entry of a completion queue.
    struct Completion: Equatable {
        var identifier: UInt16
        var status: Status = .success
        var result: UInt32 = 0
        var queue = 1
        var head: Int?

        /// All but the head of the submission queue.
        static func == (left: Completion, right: Completion) -> Bool {
            left.identifier == right.identifier && left.status == right.status && left.result == right.result
                && left.queue == right.queue
        }
    }

    /// A pair of queues, at offsets of the buffer.
    struct Queue {
        var submission: Int
        var completion: Int
        var entryCount: Int
        var tail = 0
        var head = 0
        var phase = true
    }

    static let address: PCIAddress = "0000:00:04.0"
    /// Where data begins in the buffer.
    static let data = 0x20000

    let machine: MockMachine
    let space: AddressSpace
    let device: Device
    let memory: DMABuffer
    let stride: Int
    var queues: [Int: Queue] = [:]
    private var nextIdentifier: UInt16 = 0
    private let isMocked: Bool

    convenience init(_ model: NVMeModel = NVMeModel()) throws {
        let machine = MockMachine()
        machine.plug(model, at: Self.address)
        try self.init(machine, kernel: machine.kernel, stride: 4 << model.doorbellStride)
    }

    /// - Parameters:
    ///   - machine: The machine of the mock; one without devices when it is another kernel's disk.
    init(_ machine: MockMachine, kernel: any Kernel, stride: Int) throws {
        self.machine = machine
        self.stride = stride
        isMocked = kernel is MockKernel
        space = try AddressSpace(kernel: kernel)
        device = try Device(at: Self.address, in: space)
        try device.config.updateCommand { $0.insert([.memoryDecode, .busMaster]) }
        // Where it is on a page of any size.
        memory = try space.allocate(byteCount: 4 << 20, placement: .fixed(0x100_0000))
    }

    // MARK: Registers

    func read(_ offset: Int) -> UInt32 { try! device.withRegisters(.bar0) { $0.read32(at: offset) } }
    func read64(_ offset: Int) -> UInt64 { try! device.withRegisters(.bar0) { $0.read64(at: offset) } }
    func write(_ value: UInt32, _ offset: Int) {
        try! device.withRegisters(.bar0) { $0.writeReleasing32(value, at: offset) }
    }
    func write64(_ value: UInt64, _ offset: Int) {
        try! device.withRegisters(.bar0) { $0.writeReleasing64(value, at: offset) }
    }

    var status: UInt32 { read(0x1c) }

    func withModel<Result: Sendable>(_ body: (inout NVMeModel, borrowing MockBus) -> Result) -> Result {
        machine.withDevice(NVMeModel.self, at: Self.address, body)
    }

    func inject(
        _ fault: NVMeFault, on match: NVMeFault.Match = .io, skipping: Int = 0, count: Int = 1
    ) {
        withModel { model, _ in model.inject(fault, on: match, skipping: skipping, count: count) }
    }

    // MARK: Bring-up

    /// Sets the admin queue up and enables the controller.
    func enable(configuration: UInt32 = 0x0046_0001, entryCount: Int = 32, completionQueue: Int = 0x1000) {
        queues = [0: Queue(submission: 0, completion: completionQueue, entryCount: entryCount)]
        memory.copy([UInt8](repeating: 0, count: 0x1000), to: completionQueue)
        write(UInt32(entryCount - 1) << 16 | UInt32(entryCount - 1), 0x24)
        write64(iova(0), 0x28)
        write64(iova(completionQueue), 0x30)
        write(configuration, 0x14)
    }

    /// Brings the controller up, with one pair of I/O queues.
    func start(entryCount: Int = 64, vector: Int = 0, interrupts: Bool = true) {
        enable()
        #expect(status == 1)
        #expect(addQueue(1, entryCount: entryCount, vector: vector, interrupts: interrupts) == .success)
    }

    func enabled() -> NVMeHost {
        enable()
        return self
    }

    func started() -> NVMeHost {
        start()
        return self
    }

    /// Creates a pair of I/O queues. The first have room for 256 entries each.
    func addQueue(_ number: Int, entryCount: Int = 64, vector: Int = 0, interrupts: Bool = true) -> Status {
        let queue = Queue(
            submission: 0x8000 * number, completion: 0x8000 * number + 0x4000, entryCount: entryCount)
        memory.copy([UInt8](repeating: 0, count: 0x4000), to: queue.completion)
        let status = createCompletionQueue(
            number, entryCount: entryCount, vector: vector, flags: interrupts ? 3 : 1, at: iova(queue.completion))
        if status != .success { return status }
        queues[number] = queue
        return createSubmissionQueue(number, entryCount: entryCount, at: iova(queue.submission))
    }

    func createCompletionQueue(
        _ number: Int, entryCount: Int = 64, vector: Int = 0, flags: UInt32 = 1, at address: UInt64? = nil
    ) -> Status {
        run(
            0, 5, prp1: address ?? iova(0x10000),
            dwords: [UInt32(entryCount - 1) << 16 | UInt32(number), UInt32(vector) << 16 | flags]
        ).status
    }

    func createSubmissionQueue(
        _ number: Int, completionQueue: Int? = nil, entryCount: Int = 64, flags: UInt32 = 1, at address: UInt64? = nil
    ) -> Status {
        run(
            0, 1, prp1: address ?? iova(0x11000),
            dwords: [
                UInt32(entryCount - 1) << 16 | UInt32(number), UInt32(completionQueue ?? number) << 16 | flags,
            ]
        ).status
    }

    // MARK: Commands

    func iova(_ offset: Int) -> UInt64 { memory.iova.rawValue + UInt64(offset) }

    /// Writes a command into a submission queue, without telling of it.
    @discardableResult
    func submit(
        _ queue: Int, _ opcode: UInt8, namespace: UInt32 = 0, prp1: UInt64 = 0, prp2: UInt64 = 0,
        dwords: [UInt32] = [], flags: UInt8 = 0
    ) -> UInt16 {
        nextIdentifier &+= 1
        let start = queues[queue]!.submission + queues[queue]!.tail * 64
        for index in 0..<8 { memory.write64(0, at: start + index * 8) }
        memory.write32(UInt32(opcode) | UInt32(flags) << 8 | UInt32(nextIdentifier) << 16, at: start)
        memory.write32(namespace, at: start + 4)
        memory.write64(prp1, at: start + 24)
        memory.write64(prp2, at: start + 32)
        for (index, dword) in dwords.enumerated() { memory.write32(dword, at: start + 40 + index * 4) }
        queues[queue]!.tail = (queues[queue]!.tail + 1) % queues[queue]!.entryCount
        return nextIdentifier
    }

    /// A read or write of blocks.
    @discardableResult
    func submit(
        _ opcode: UInt8, block: UInt64, count: Int = 1, prp1: UInt64? = nil, prp2: UInt64 = 0, queue: Int = 1,
        namespace: UInt32 = 1
    ) -> UInt16 {
        submit(
            queue, opcode, namespace: namespace, prp1: prp1 ?? iova(Self.data), prp2: prp2,
            dwords: [
                UInt32(truncatingIfNeeded: block), UInt32(truncatingIfNeeded: block >> 32), UInt32(count - 1),
            ])
    }

    func doorbell(_ queue: Int, isCompletion: Bool = false) -> Int {
        0x1000 + (2 * queue + (isCompletion ? 1 : 0)) * stride
    }

    /// Tells the controller of what was submitted.
    func ring(_ queue: Int = 1) { write(UInt32(queues[queue]!.tail), doorbell(queue)) }

    /// Takes the completions that are there, and gives their room back.
    @discardableResult
    func reap(_ number: Int = 1, limit: Int = .max) -> [Completion] {
        var result: [Completion] = []
        while result.count < limit {
            let start = queues[number]!.completion + queues[number]!.head * 16
            let last = memory.readAcquiring32(at: start + 12)
            guard (last >> 16 & 1 != 0) == queues[number]!.phase else { break }
            let middle = memory.read32(at: start + 8)
            let status = last >> 17
            result.append(
                Completion(
                    identifier: UInt16(truncatingIfNeeded: last),
                    status: Status(
                        type: UInt8(status >> 8 & 7), code: UInt8(status & 0xff),
                        doNotRetry: status >> 14 & 1 != 0),
                    result: memory.read32(at: start), queue: Int(middle >> 16), head: Int(middle & 0xffff)))
            queues[number]!.head += 1
            if queues[number]!.head == queues[number]!.entryCount {
                queues[number]!.head = 0
                queues[number]!.phase.toggle()
            }
        }
        if !result.isEmpty { write(UInt32(queues[number]!.head), doorbell(number, isCompletion: true)) }
        return result
    }

    /// Submits a command and takes its completion, which is expected to be the only one.
    @discardableResult
    func run(
        _ queue: Int, _ opcode: UInt8, namespace: UInt32 = 0, prp1: UInt64 = 0, prp2: UInt64 = 0,
        dwords: [UInt32] = [], flags: UInt8 = 0
    ) -> Completion {
        finish(
            queue, submit(queue, opcode, namespace: namespace, prp1: prp1, prp2: prp2, dwords: dwords, flags: flags))
    }

    /// Reads or writes blocks.
    @discardableResult
    func run(
        _ opcode: UInt8, block: UInt64, count: Int = 1, prp1: UInt64? = nil, prp2: UInt64 = 0, queue: Int = 1,
        namespace: UInt32 = 1
    ) -> Status {
        let identifier = submit(
            opcode, block: block, count: count, prp1: prp1, prp2: prp2, queue: queue, namespace: namespace)
        return finish(queue, identifier).status
    }

    private func finish(_ queue: Int, _ identifier: UInt16) -> Completion {
        ring(queue)
        var completions = reap(queue)
        // A controller that is none of the mock's takes its time.
        let deadline = ContinuousClock.now + .seconds(isMocked ? 0 : 5)
        while completions.isEmpty && ContinuousClock.now < deadline { completions = reap(queue) }
        guard completions.count == 1, completions[0].identifier == identifier else {
            Issue.record("the completions are \(completions)")
            return Completion(identifier: identifier, status: Status(type: 7, code: 0xff))
        }
        return completions[0]
    }

    /// Bytes that differ from block to block.
    static func pattern(_ count: Int, seed: Int = 1) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 9 &+ seed) }
    }
}
