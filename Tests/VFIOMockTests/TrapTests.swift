import Glibc
import Synchronization
import SystemPackage
import Testing
import VFIO
import VFIOMock
import VFIOPassthrough

/// Numbers of a guest, a device, a kernel and a user: they are refused, and trap nowhere. Closures of the user's run without
/// a lock, and nothing waits on the pool that it runs on.
@Suite(.timeLimit(.minutes(15)))
struct TrapTests {
    private static let edu: PCIAddress = "0000:00:02.0"
    private static let memory: PCIAddress = "0000:00:03.0"
    private static let interfaces: [AddressSpace.Interface] = [.iommufd, .type1]

    private static func makeMachine(iommu: MockIOMMU = MockIOMMU(), memoryByteCount: Int = 1 << 20)
        -> MockMachine
    {
        let machine = MockMachine(iommu: iommu)
        machine.plug(EduModel(), at: edu)
        machine.plug(SharedMemoryModel(byteCount: memoryByteCount), at: memory)
        return machine
    }

    private func expect(
        _ code: VFIOError.Code, _ errno: Errno? = nil,
        sourceLocation: SourceLocation = #_sourceLocation,
        _ body: () throws(VFIOError) -> Void
    ) {
        let error = #expect(throws: VFIOError.self, sourceLocation: sourceLocation) { try body() }
        #expect(error?.code == code, sourceLocation: sourceLocation)
        #expect(error?.errno == errno, sourceLocation: sourceLocation)
    }

    // MARK: Locks

    @Test func aChangeOfTheCommandRegisterMayUseTheDevice() throws {
        let machine = Self.makeMachine()
        let device = try Device(at: Self.memory, in: AddressSpace(kernel: machine.kernel))
        let config = device.config
        var inner: Result<Void, VFIOError> = .success(())
        try config.updateCommand { command in
            command.insert(.memoryDecode)
            do throws(VFIOError) {
                try config.write8(0x40, at: 0x0c)
                try config.updateCommand { $0.insert(.busMaster) }
            } catch {
                inner = .failure(error)
            }
        }
        try inner.get()
        #expect(try config.read8(at: 0x0c) == 0x40)
        // Neither change is lost.
        #expect(try config.command().isSuperset(of: [.memoryDecode, .busMaster]))
        try config.updateCommand { $0 = [.memoryDecode] }
        #expect(try !config.command().contains(.busMaster))
    }

    /// In a process of its own, since the tests beside it keep the pool busy.
    @Test func queuesCloseFromTasksWhileOthersWait() async {
        await #expect(processExitsWith: .success) { try await TrapTests.closeQueuesFromTasks() }
    }

    fileprivate static func closeQueuesFromTasks() async throws {
        var iommu = MockIOMMU()
        iommu.make = .armSMMUv3
        iommu.nests = true
        let machine = makeMachine(iommu: iommu)
        let device = try Device(at: edu, in: AddressSpace(.iommufd, kernel: machine.kernel))
        let parent = try device.makePageTable(options: .nestingParent)
        // More than the pool has threads.
        var queues: [(close: @Sendable () throws -> Void, task: Task<Void, any Error>)] = []
        let waiting = Counter()
        for _ in 0..<32 {
            let viommu = try device.makeVirtualIOMMU(.armSMMUv3, over: parent)
            let queue = try viommu.makeEventQueue(.armSMMUv3)
            let events = queue.events
            let owner = Mutex<VirtualEventQueue?>(queue)
            let holder = Holder(owner, viommu)
            let task = Task {
                waiting.value.add(1, ordering: .relaxed)
                for try await _ in events {}
            }
            queues.append((holder.close, task))
        }
        while waiting.value.load(ordering: .relaxed) < 32 { try await Task.sleep(for: .milliseconds(1)) }
        try await Task.sleep(for: .milliseconds(20))
        let clock = ContinuousClock()
        let start = clock.now
        try await withThrowingTaskGroup(of: Void.self) { group in
            for queue in queues {
                group.addTask {
                    // The virtual IOMMU closes right behind it: the queue is gone when close() returns.
                    try queue.close()
                    try await queue.task.value
                }
            }
            try await group.waitForAll()
        }
        // A pool that is blocked grows by a thread each second.
        #expect(clock.now - start < .seconds(20))
    }

    private final class Counter: Sendable {
        let value = Atomic<Int>(0)
    }

    /// A queue that several tasks can reach.
    private final class Holder: Sendable {
        private let queue: Mutex<VirtualEventQueue?>
        private let viommu: Mutex<VirtualIOMMU?>

        init(_ queue: consuming Mutex<VirtualEventQueue?>, _ viommu: consuming VirtualIOMMU) {
            self.queue = queue
            self.viommu = Mutex(viommu)
        }

        func close() throws {
            if let queue = queue.withLock({ $0.take() }) { try queue.close() }
            if let viommu = viommu.withLock({ $0.take() }) { try viommu.close() }
        }
    }

    // MARK: A guest's numbers

    @Test func aGuestsRegisterAccessIsRefusedAndNothingMore() throws {
        let machine = Self.makeMachine()
        let device = try Device(at: Self.memory, in: AddressSpace(kernel: machine.kernel))
        try device.config.updateCommand { $0.insert(.memoryDecode) }
        let bank = try device.makeRegisterBank(of: .bar2)
        try bank.write(0x1122_3344_5566_7788, at: 8, width: 8)
        #expect(
            try [1, 2, 4, 8].map { (width) throws(VFIOError) in try bank.read(at: 8, width: width) } == [
                0x88, 0x7788, 0x5566_7788, 0x1122_3344_5566_7788,
            ])
        try bank.write(0xffff_ffff_ffff_ff01, at: 9, width: 1)
        #expect(bank.read32(at: 8) == 0x5566_0188)
        let size = try device.region(.bar2).byteCount
        try device.withRegisters(.bar2) { (registers) throws(VFIOError) in
            #expect(try registers.read(at: size - 8, width: 8) == 0)
            for (offset, width) in [(2, 4), (1, 2), (4, 8)] as [(UInt64, Int)] {
                expect(.misaligned) { () throws(VFIOError) in
                    _ = try registers.read(at: offset, width: width)
                }
                expect(.misaligned) { () throws(VFIOError) in
                    try registers.write(0, at: offset, width: width)
                }
            }
            for width in [-1, 0, 3, 5, 16, Int.max, Int.min] {
                expect(.invalidArgument) { () throws(VFIOError) in
                    _ = try registers.read(at: 0, width: width)
                }
                expect(.invalidArgument) { () throws(VFIOError) in
                    try registers.write(0, at: 0, width: width)
                }
            }
            for offset in [size, size &+ 8, 1 << 40, 1 << 63, UInt64.max & ~7] {
                expect(.outOfRange) { () throws(VFIOError) in _ = try registers.read(at: offset, width: 8) }
                expect(.outOfRange) { () throws(VFIOError) in try registers.write(0, at: offset, width: 8) }
            }
        }
        // Another thread of the monitor may switch it off at any time.
        try device.config.updateCommand { $0.remove(.memoryDecode) }
        expect(.kernel, .ioError) { () throws(VFIOError) in _ = try bank.read(at: 0, width: 4) }
        expect(.kernel, .ioError) { () throws(VFIOError) in try bank.write(1, at: 0, width: 4) }
        // An error that was thrown is not reported again.
        try bank.close()
    }

    @Test func aGuestsDMAAddressIsRefusedAndNothingMore() throws {
        let machine = Self.makeMachine()
        let space = try AddressSpace(kernel: machine.kernel)
        let device = try Device(at: Self.edu, in: space)
        let memory = try GuestMemory([.new(at: 0x1000, byteCount: 8192)], in: space)
        try memory.copy([1, 2, 3], to: 0x2ffd)
        #expect(try memory.bytes(at: 0x2ffc, count: 4) == [0, 1, 2, 3])
        #expect(try memory.bytes(at: 0x1000, count: 8192).count == 8192)
        #expect(try memory.bytes(at: 0x1000, count: 0).isEmpty)
        for (address, count) in [
            (0, 1), (0xfff, 2), (0x2ffd, 4), (0x3000, 0), (0x1000, 8193), (0x1000, .max), (0x1000, -1),
            (.max, 1), (.max, .max),
        ] as [(UInt64, Int)] {
            expect(.outOfRange) { () throws(VFIOError) in
                _ = try memory.bytes(at: GuestAddress(address), count: count)
            }
        }
        expect(.outOfRange) { () throws(VFIOError) in try memory.copy([1, 2, 3, 4], to: 0x2ffd) }
        expect(.outOfRange) { () throws(VFIOError) in try memory.copy([1], to: GuestAddress(.max)) }
        try memory.close()
        try device.close()
    }

    // MARK: A user's numbers

    @Test func aTimeoutMayBeAnyDuration() throws {
        let machine = Self.makeMachine()
        let device = try Device(at: Self.edu, in: AddressSpace(kernel: machine.kernel))
        let vector = try device.interrupts(.msi).enable()
        let longest = Duration(secondsComponent: .max, attosecondsComponent: 0) * 17
        for timeout in [Duration.seconds(Int64.min), longest * -1, .zero] {
            #expect(try vector.wait(timeout: timeout) == nil)
        }
        for timeout in [Duration.seconds(Int64.max), longest] {
            // It has to block before it ends.
            let (kernel, event) = (machine.kernel, vector.withEvent { $0 })
            let thread = Task.detached {
                try await Task.sleep(for: .milliseconds(20))
                let one: UInt64 = 1
                try withUnsafeBytes(of: one) { _ = try kernel.write(event, from: $0) }
            }
            #expect(try vector.wait(timeout: timeout) == 1)
            _ = thread
        }
    }

    @Test func memoryAtTheEndOfTheAddressesIsNoBAR() throws {
        let machine = Self.makeMachine()
        let space = try AddressSpace(kernel: machine.kernel)
        let device = try Device(at: Self.edu, in: space)
        let last = UnsafeMutableRawBufferPointer(
            start: UnsafeMutableRawPointer(bitPattern: UInt.max & ~0xfff), count: 8192)
        let error = #expect(throws: VFIOError.self) { _ = try space.map(last) }
        #expect(error?.errno == .overflow)
        try device.close()
    }

    // MARK: Many vectors

    private struct ManyVectors: MockDevice {
        let pci = MockPCIFunction(
            vendor: 0x1234, device: 1, bars: [0: .memory(1 << 20)],
            msix: .init(vectors: 2048, bar: 0, tableOffset: 0, pendingOffset: 0x10000), isExpress: true)
    }

    /// Counts what the interrupts' requests hold.
    private struct CountingKernel: ForwardingKernel {
        let kernel: any Kernel
        let byteCount = Notes<Int>()

        func control(
            _ descriptor: FileDescriptor, _ request: UInt, _ argument: UnsafeMutableRawBufferPointer
        ) throws(Errno) -> Int {
            if request == CVFIO_DEVICE_SET_IRQS { byteCount.add(argument.count) }
            return try kernel.control(descriptor, request, argument)
        }
    }

    @Test(arguments: [MockRelease.iommufd, .linux6_1])
    func vectorsOneByOneCostAsMuchAsThereAre(_ release: MockRelease) throws {
        // Each vector has an eventfd, and a process may have no more than some hundred descriptors.
        let count = 500
        let machine = MockMachine(release)
        machine.plug(ManyVectors(), at: Self.memory)
        let kernel = CountingKernel(kernel: machine.kernel)
        let device = try Device(at: Self.memory, in: AddressSpace(.type1, kernel: kernel))
        let interrupts = try device.interrupts(.msix)
        var owners: [Owner] = []
        for vector in 0..<count { owners.append(Owner(try interrupts.enable(vector: vector))) }
        // 24 bytes for one, and four for each that is switched on again.
        #expect(kernel.byteCount.all.reduce(0, +) < count * 64)
        for (number, owner) in owners.enumerated() where number % 50 == 0 {
            try owner.vector.trigger()
            #expect(try owner.vector.poll() == 1)
        }
        // Fewer are left than would be asked for.
        if release == .linux6_1 { machine.failNextCall(.ioctl, with: .noSpace, request: .deviceSetIRQs, skipping: 1) }
        let last = try interrupts.enable(vector: 512)
        try last.trigger()
        #expect(try last.poll() == 1)
        try owners[7].vector.trigger()
        #expect(try owners[7].vector.poll() == 1)
    }

    private final class Owner {
        let vector: InterruptVector
        init(_ vector: consuming InterruptVector) { self.vector = vector }
    }

    // MARK: Large pages of the IOMMU

    @Test(arguments: interfaces, [16384, 65536, 4 << 20] as [UInt64])
    func anIOMMUWithLargerPagesThanTheCPUsGetsThem(
        _ interface: AddressSpace.Interface, _ page: UInt64
    ) throws {
        let machine = Self.makeMachine(iommu: MockIOMMU(pageSizes: page | 1 << 29))
        let space = try AddressSpace(interface, kernel: machine.kernel)
        let device = try Device(at: Self.edu, in: space)
        #expect(try space.mappingAlignment() == page)
        for _ in 0..<4 {
            let buffer = try space.allocate(byteCount: 4096)
            #expect(UInt64(buffer.byteCount) == page)
            #expect(UInt64(UInt(bitPattern: buffer.unsafeBaseAddress)) % page == 0)
            #expect(buffer.iova.rawValue % page == 0)
            buffer.write8(1, at: buffer.byteCount - 1)
            try buffer.close()
        }
        let huge = try space.allocate(byteCount: 4096, pages: .huge2MiB)
        #expect(UInt64(huge.byteCount) == max(page, 2 << 20))
        try huge.close()
        let path = "/dev/shm/vfio-traps-\(getpid())-\(UInt32.random(in: 0...(.max)))"
        let file = try FileDescriptor.open(
            FilePath(path), .readWrite, options: [.create, .exclusiveCreate], permissions: .ownerReadWrite)
        unlink(path)
        try file.resize(to: Int64(2 * page))
        let memory = try GuestMemory(
            [
                .new(at: GuestAddress(page), byteCount: page),
                .file(file, at: GuestAddress(4 * page), byteCount: 2 * page),
            ],
            in: space)
        try memory.copy([7], to: GuestAddress(6 * page - 1))
        var byte: [UInt8] = [0]
        _ = try byte.withUnsafeMutableBytes {
            try file.read(fromAbsoluteOffset: Int64(2 * page) - 1, into: $0)
        }
        #expect(byte == [7])
        try file.close()
        try memory.close()
        try device.close()
        #expect(machine.pinnedByteCount == 0)
    }

    // MARK: Huge pages

    /// Refuses some mappings, as Linux does, and keeps account of the others.
    private final class RefusingKernel: ForwardingKernel {
        let kernel: any Kernel
        let refusal: @Sendable (MemoryMapRequest) -> Errno?
        let mapped = Mutex<[UInt: Int]>([:])

        init(_ kernel: any Kernel, _ refusal: @escaping @Sendable (MemoryMapRequest) -> Errno?) {
            self.kernel = kernel
            self.refusal = refusal
        }

        func map(_ request: MemoryMapRequest) throws(Errno) -> UnsafeMutableRawPointer {
            if let refusal = refusal(request) { throw refusal }
            let base = try kernel.map(request)
            mapped.withLock { $0[UInt(bitPattern: base)] = request.byteCount }
            return base
        }

        func unmap(_ memory: UnsafeMutableRawBufferPointer) throws(Errno) {
            try kernel.unmap(memory)
            mapped.withLock { $0[UInt(bitPattern: memory.baseAddress)] = nil }
        }
    }

    /// A process that locks all its memory (`mlockall`) may not reserve addresses beyond its limit, and a file of huge
    /// pages refuses addresses between them.
    @Test func withoutRoomForTheAlignmentABARIsMappedAnywhere() throws {
        let refusals: [@Sendable (MemoryMapRequest) -> Errno?] = [
            { !$0.isReadable ? .resourceTemporarilyUnavailable : nil },
            { !$0.isReadable ? .noMemory : nil },
            { $0.fixedAddress != nil ? .invalidArgument : nil },
        ]
        for refusal in refusals {
            let machine = Self.makeMachine(memoryByteCount: 1 << 30)
            let kernel = RefusingKernel(machine.kernel, refusal)
            let device = try Device(at: Self.memory, in: AddressSpace(.iommufd, kernel: kernel))
            try device.config.updateCommand { $0.insert(.memoryDecode) }
            let bar = try device.map(.bar2)
            #expect(kernel.mapped.withLock { Array($0.values) } == [1 << 30])
            bar.write32(0xabcd, at: 1 << 29)
            #expect(bar.read32(at: 1 << 29) == 0xabcd)
            try bar.close()
            #expect(kernel.mapped.withLock { $0.isEmpty })
            try device.close()
        }
    }

    @Test func theErrorOfAMappingIsNotThatOfItsAlignment() throws {
        let machine = Self.makeMachine(memoryByteCount: 1 << 30)
        let kernel = RefusingKernel(machine.kernel) {
            guard case .file = $0.source else { return .resourceTemporarilyUnavailable }
            return .permissionDenied
        }
        let device = try Device(at: Self.memory, in: AddressSpace(.iommufd, kernel: kernel))
        try device.config.updateCommand { $0.insert(.memoryDecode) }
        let error = #expect(throws: VFIOError.self) { _ = try device.map(.bar2) }
        #expect(error?.errno == .permissionDenied)
        #expect(kernel.mapped.withLock { $0.isEmpty })
        try device.close()
    }

    @Test func aLargeBARIsPlacedForHugePages() throws {
        for (shift, alignment) in [(21, 1 << 21), (28, 1 << 21), (30, 1 << 30), (36, 1 << 30)]
            as [(Int, UInt64)]
        {
            let machine = Self.makeMachine(memoryByteCount: 1 << shift)
            let space = try AddressSpace(.iommufd, kernel: machine.kernel)
            let device = try Device(at: Self.memory, in: space)
            try device.config.updateCommand { $0.insert(.memoryDecode) }
            let byteCount = UInt64(1) << UInt64(shift)
            let window = try device.exportDMABuf(of: .bar2, 0..<byteCount)
            let peer = try space.map(window)
            #expect(peer.iova.rawValue % alignment == 0, "\(shift): \(peer.iova)")
            let bar = try device.map(.bar2)
            #expect(UInt64(UInt(bitPattern: bar.unsafeBaseAddress)) % alignment == 0)
            bar.write32(0xabcd, at: Int(byteCount) - 4)
            #expect(bar.read32(at: Int(byteCount) - 4) == 0xabcd)
            try peer.close()
            // Mapped where the BAR's own huge pages begin, or where none fits, anywhere.
            if shift > 21 {
                let rest = try device.exportDMABuf(of: .bar2, 4096..<byteCount)
                let part = try space.map(rest)
                #expect(part.byteCount == byteCount - 4096)
                let upper = try device.map(.bar2, 4096..<byteCount)
                #expect(UInt64(UInt(bitPattern: upper.unsafeBaseAddress)) % (1 << 21) == 4096)
                #expect(upper.read32(at: upper.byteCount - 4) == 0xabcd)
                try part.close()
            }
        }
    }
}
