import Glibc
import Synchronization

@testable import VFIO

/// A device and what is made from it, over a kernel that behaves.
@Suite struct DeviceTests {
    private let config = RegionBytes.config()
    private let kernel: ScriptedKernel

    init() { kernel = ScriptedKernel.machine(config: config) }

    private var isOpen: Bool { kernel.openNames.contains("/dev/vfio/devices/vfio0") }

    // MARK: Who holds it

    @Test func theConfigSpaceKeepsTheDeviceOpen() throws {
        let device = try kernel.device()
        var config: ConfigSpace? = device.config
        let error = failure(closing: device)
        #expect(error?.code == .inUse)
        #expect(error?.hint?.contains("the config space") == true)
        #expect(isOpen)
        #expect(try config?.command() == .memoryDecode)
        config = nil
        #expect(!isOpen)
    }

    @Test func everyCopyOfTheConfigSpaceCounts() throws {
        let device = try kernel.device()
        var copies: [ConfigSpace] = [device.config]
        copies.append(copies[0])
        #expect(failure(closing: device)?.code == .inUse)
        copies.removeFirst()
        #expect(isOpen)
        copies.removeFirst()
        #expect(!isOpen)
    }

    @Test func theInterruptsKeepTheDeviceOpen() throws {
        let device = try kernel.device()
        var interrupts: Interrupts? = try device.interrupts(.msi)
        let error = failure(closing: device)
        #expect(error?.code == .inUse)
        #expect(error?.hint?.contains("still alive: MSI") == true)
        #expect(interrupts?.count == 8)
        interrupts = nil
        #expect(!isOpen)
    }

    @Test func theDeviceCanBeClosedInTheFunctionThatUsedIt() throws {
        let device = try kernel.device()
        try device.config.updateCommand { $0.insert(.busMaster) }
        let vector = try device.interrupts(.msi).enable()
        try device.withRegisters(.bar0) { registers in registers.write32(1, at: 0) }
        try closeAll(vector, device)
        #expect(!isOpen)
        #expect(kernel.mappedLengths.isEmpty)
    }

    // MARK: Turns

    @Test func noUpdateOfTheCommandIsLost() throws {
        let (config, kernel) = (config, kernel)
        kernel.onReadAt { (offset, bytes) throws(Errno) in
            let count = config.read(at: offset % (1 << 40), into: bytes)
            // Between the read and the write is where another thread would come in.
            sched_yield()
            return count
        }
        let device = try kernel.device()
        let space = device.config
        let group = Threads()
        for _ in 0..<4 {
            group.start {
                do {
                    // Without the two lowest bits, so that memory decode stays on.
                    for _ in 0..<500 { try space.updateCommand { $0 = PCICommand(rawValue: $0.rawValue + 4) } }
                } catch { Issue.record(error) }
            }
        }
        group.join()
        #expect(try space.command().rawValue == 2 + 4 * 4 * 500)
    }

    @Test func aConfigWriteWaitsForTheReset() throws {
        let (config, kernel) = (config, kernel)
        let log = Notes<String>()
        let device = try kernel.device()
        let space = device.config
        let group = Threads()
        kernel.onWriteAt { (offset, bytes) throws(Errno) in
            log.add("write")
            return config.write(at: offset % (1 << 40), from: bytes)
        }
        kernel.answerValue(CVFIO_DEVICE_RESET) { (_) throws(Errno) in
            log.add("reset begins")
            group.start {
                do {
                    try space.write8(1, at: 0x0c)
                } catch {
                    Issue.record(error)
                }
            }
            usleep(30_000)
            log.add("reset ends")
            return 0
        }
        try device.reset()
        group.join()
        #expect(log.all == ["reset begins", "reset ends", "write"])
    }

    // MARK: Revocations

    /// A mapping in a box, so that the kernel's answers reach it.
    private final class Peer: Sendable {
        let mapping: PeerMapping
        init(_ mapping: consuming PeerMapping) { self.mapping = mapping }
    }

    /// Two restores in the middle of a revocation: the kernel may have taken the memory away before or after.
    private func restoreInTheWindow(_ peer: Peer, _ log: Notes<String>) throws(Errno) {
        log.add("\(peer.mapping.state)")
        do { try peer.mapping.restore() } catch { Issue.record(error) }
        log.add("\(peer.mapping.state)")
    }

    private func peer(of device: borrowing Device) throws -> Peer {
        Peer(try device.space.map(try device.exportDMABuf(of: .bar0, 0..<4096)))
    }

    @Test(arguments: [true, false]) func aRestoreDuringAResetDoesNotCount(_ succeeds: Bool) throws {
        let device = try kernel.device()
        let peer = try peer(of: device)
        let log = Notes<String>()
        #expect(peer.mapping.state == .live)
        kernel.answerValue(CVFIO_DEVICE_RESET) { [self] (_) throws(Errno) in
            try restoreInTheWindow(peer, log)
            if !succeeds { throw .ioError }
            return 0
        }
        do {
            try device.reset()
            #expect(succeeds)
        } catch { #expect(error.errno == .ioError) }
        #expect(log.all == ["revoked", "live"])
        #expect(peer.mapping.state == .revoked)
        try peer.mapping.restore()
        #expect(peer.mapping.state == .live)
    }

    @Test func aRestoreWhileMemoryGoesOffDoesNotCount() throws {
        let device = try kernel.device()
        let peer = try peer(of: device)
        let (config, log) = (config, Notes<String>())
        kernel.onWriteAt { [self] (offset, bytes) throws(Errno) in
            if log.all.isEmpty { try restoreInTheWindow(peer, log) }
            return config.write(at: offset % (1 << 40), from: bytes)
        }
        try device.config.updateCommand { $0.remove(.memoryDecode) }
        #expect(log.all == ["revoked", "live"])
        #expect(peer.mapping.state == .revoked)
        expectError(.memoryDecodeOff) { try peer.mapping.restore() }
        try device.config.updateCommand { $0.insert(.memoryDecode) }
        #expect(peer.mapping.state == .revoked)
        try peer.mapping.restore()
        #expect(peer.mapping.state == .live)
    }

    @Test func whatWasExportedForReadingIsNotMappedForWriting() throws {
        let device = try kernel.device()
        let window = try device.exportDMABuf(of: .bar0, 0..<4096, access: .read)
        for access in [DMAAccess.readWrite, .write] {
            let error = expectError(.invalidArgument) { _ = try device.space.map(window, access: access) }
            #expect(error?.errno == nil)
        }
        let peer = try device.space.map(window, access: .read)
        #expect(peer.state == .live)
        // Of one from elsewhere nothing is known.
        let other = try DMABuf(adopting: try window.duplicateDescriptor(), kernel: kernel)
        let mapping = try device.space.map(other)
        #expect(mapping.access == .readWrite)
    }

    // MARK: Registers

    /// Gives BARs sizes and says whether they can be mapped.
    private func answerRegions(_ sizes: [RegionIndex: (byteCount: UInt64, isMappable: Bool)]) {
        kernel.accept(CVFIO_DEVICE_GET_REGION_INFO, cvfio_region_info.self) { region in
            region.flags = CVFIO_REGION_INFO_FLAG_READ | CVFIO_REGION_INFO_FLAG_WRITE
            region.offset = ScriptedKernel.offset(ofRegion: region.index)
            region.size = region.index == CVFIO_PCI_CONFIG_REGION_INDEX ? 256 : 0
            if let size = sizes[RegionIndex(rawValue: region.index)] {
                region.size = size.byteCount
                if size.isMappable { region.flags |= CVFIO_REGION_INFO_FLAG_MMAP }
            }
        }
    }

    private func count(_ call: String) -> Int { kernel.calls.count { $0 == call } }

    @Test func ioPortsAnswerWithMemoryDecodeOff() throws {
        answerRegions([.bar0: (8192, true), .bar1: (32, false)])
        let device = try kernel.device()
        try device.config.updateCommand {
            $0.remove(.memoryDecode)
            $0.insert(.ioDecode)
        }
        let value = try device.withRegisters(.bar1) { registers in
            registers.write32(0xc0ffee, at: 28)
            return registers.read32(at: 28)
        }
        #expect(value == 0xc0ffee)
        expectError(.memoryDecodeOff) { try device.withRegisters(.bar0) { registers in registers.write8(1, at: 0) } }
        #expect(kernel.mappedLengths.isEmpty)
    }

    @Test func aRefusedMmapIsNoObstacle() throws {
        let device = try kernel.device()
        _ = try device.region(.bar0)
        // After the look at command and status.
        kernel.failCall(3, with: .invalidArgument)
        let value = try device.withRegisters(.bar0) { registers in
            registers.write64(0x1_0000_0002, at: 8)
            registers.write8(7, at: 8191)
            return registers.read64(at: 8) + UInt64(registers.read8(at: 8191))
        }
        #expect(value == 0x1_0000_0009)
        #expect(kernel.hasFailed)
        #expect(kernel.mappedLengths.isEmpty)
        #expect((count("pread"), count("pwrite")) == (2, 2))
        // It is tried again the next time.
        try device.withRegisters(.bar0) { registers in registers.write8(7, at: 0) }
        #expect(kernel.mappedLengths == [8192])
        #expect(count("pwrite") == 2)
    }

    @Test func aMappedRegionTakesNoCalls() throws {
        let device = try kernel.device()
        for round in 0..<3 as Range<UInt32> {
            try device.withRegisters(.bar0) { registers in
                registers.writeReleasing32(round, at: 16)
                registers.writeReleasing64(UInt64(round), at: 24)
                #expect(registers.readAcquiring32(at: 16) == round)
                #expect(registers.readAcquiring64(at: 24) == UInt64(round))
                #expect(registers.byteCount == 8192)
            }
        }
        #expect(count("mmap") == 1)
        #expect(count("pread") + count("pwrite") == 0)
        try device.close()
        #expect(kernel.mappedLengths.isEmpty)
    }

    /// Not by the order of a bank's parts, which the optimiser may change: a release build did it the other way round.
    @Test func registersAreUnmappedBeforeTheDeviceCloses() throws {
        /// Both ends of life in one place, the device's first.
        final class Driver {
            let device: Device
            let bank: RegisterBank

            init(_ device: consuming Device) throws {
                bank = try device.makeRegisterBank(of: .bar0)
                self.device = device
            }
        }
        var driver: Driver? = try Driver(try kernel.device())
        #expect(try driver?.device.region(.bar0).byteCount == 8192)
        let before = kernel.calls.count
        driver = nil
        #expect(kernel.calls[before...].prefix(2) == ["munmap", "close"])
        #expect(!isOpen)
        #expect(kernel.mappedLengths.isEmpty)
    }

    @Test func aRegionOfAnOddSizeIsReachedToItsEnd() throws {
        answerRegions([.bar0: (0x1ffd, true)])
        let device = try kernel.device()
        try device.withRegisters(.bar0) { registers in
            registers.write64(0x1122_3344_5566_7788, at: 0x1ff0)
            #expect(registers.read64(at: 0x1ff0) == 0x1122_3344_5566_7788)
            registers.write8(9, at: 0x1ff7)
            #expect(registers.read32(at: 0x1ff4) == 0x0922_3344)
        }
        #expect(count("pread") + count("pwrite") == 0)
        try device.withRegisters(.bar0) { registers in
            registers.write32(5, at: 0x1ff8)
            registers.write8(6, at: 0x1ffc)
            #expect(registers.read32(at: 0x1ff8) == 5)
            #expect(registers.read8(at: 0x1ffc) == 6)
            #expect(registers.byteCount == 0x1ffd)
        }
        #expect((count("pread"), count("pwrite")) == (2, 2))
    }

    @Test(arguments: [1, 4, 8, 0x20, 0xffc] as [UInt64])
    func aRegionSmallerThanAPageIsReached(_ byteCount: UInt64) throws {
        answerRegions([.bar0: (byteCount, true)])
        let device = try kernel.device()
        let last = Int(byteCount) - 1
        try device.withRegisters(.bar0) { registers in
            for offset in [0, last] {
                registers.write8(UInt8(truncatingIfNeeded: offset + 3), at: offset)
                #expect(registers.read8(at: offset) == UInt8(truncatingIfNeeded: offset + 3))
            }
        }
        let region = try device.map(.bar0)
        #expect(region.byteCount == Int(byteCount))
        region.write8(1, at: last)
        #expect(region.read8(at: last) == 1)
        #expect(region.bytes(count: Int(byteCount)).count == Int(byteCount))
        try closeAll(region, device)
        #expect(kernel.mappedLengths.isEmpty)
    }

    /// What must stop the program, by its number.
    private static func stop(_ number: Int, _ registers: Registers) {
        switch number {
        case 0: _ = registers.read8(at: 0x1ffd)
        case 1: _ = registers.read32(at: 0x1ffc)
        case 2: _ = registers.read32(at: 2)
        case 3: _ = registers.read8(at: -1)
        case 4: registers.write64(0, at: 0x1ff8)
        default: registers.write16(0, at: .max - 1)
        }
    }

    @Test(arguments: 0...5) func aRegisterOutsideStopsTheProgram(_ number: Int) async {
        await #expect(processExitsWith: .failure) { [number] in
            let test = DeviceTests()
            test.answerRegions([.bar0: (0x1ffd, true)])
            guard let device = try? test.kernel.device() else { return }
            try? device.withRegisters(.bar0) { (registers) throws(VFIOError) in Self.stop(number, registers) }
        }
    }

    // MARK: -

    /// Threads of their own, since what they do blocks.
    private final class Threads: Sendable {
        private final class Job {
            let body: @Sendable () -> Void
            init(_ body: @escaping @Sendable () -> Void) { self.body = body }
        }
        private let threads = Mutex<[pthread_t]>([])

        func start(_ body: @escaping @Sendable () -> Void) {
            var thread = pthread_t()
            let start: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { argument in
                Unmanaged<Job>.fromOpaque(argument!).takeRetainedValue().body()
                return nil
            }
            #expect(pthread_create(&thread, nil, start, Unmanaged.passRetained(Job(body)).toOpaque()) == 0)
            threads.withLock { $0.append(thread) }
        }

        func join() {
            for thread in threads.withLock({ $0 }) { pthread_join(thread, nil) }
        }
    }
}
