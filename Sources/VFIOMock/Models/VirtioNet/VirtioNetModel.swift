/// QEMU's `virtio-net-pci` without its legacy half, 1af4:1041: a network card of virtio 1.0 with one pair of queues.
///
/// Registers are in BAR 4, where QEMU has them, and its interrupts MSI-X or the pin. Its network returns each frame that it
/// sends, as that of the project's lab does, or lets a test carry frames on:
/// ```swift
/// machine.plug(VirtioNetModel(network: .collected), at: "0000:03:00.0")
/// …
/// let frames = machine.withDevice(VirtioNetModel.self, at: "0000:03:00.0") { card, _ in card.takeSentFrames() }
/// machine.withDevice(VirtioNetModel.self, at: "0000:04:00.0") { card, bus in card.deliver(frames, bus: bus) }
/// ```
/// A frame has been sent by the time that the store to the doorbell returns. What comes while no buffer is there waits, as
/// QEMU's frames do in their socket, and the oldest 1024 are kept.
///
/// It offers no offloads, no packed queues and no indirect descriptors, and has no capability by which its structures
/// are reached through config space.
public struct VirtioNetModel: MockDevice {
    /// What the card is connected to.
    public enum Network: Sendable, Hashable {
        /// Each frame that is sent comes back.
        case loopback
        /// Frames that are sent are kept for ``VirtioNetModel/takeSentFrames()``, and none comes unless it is delivered.
        case collected
    }

    public let pci = MockPCIFunction(
        vendor: 0x1af4, device: 0x1041, classCode: 0x020000, revision: 1,
        bars: [1: .init(.memory, 4096), 4: .init(.registers, 16384, is64Bit: true, isPrefetchable: true)],
        hasINTx: true, msix: .init(vectors: 4, bar: 1, tableOffset: 0, pendingOffset: 0x800), isExpress: true,
        hasFunctionLevelReset: true, hasPowerManagement: true, vendorCapabilities: Self.capabilities,
        // ATS: page-aligned requests, 32 invalidations; switched off.
        extendedCapabilities: [.init(id: 0x0f, bytes: [0x20, 0, 0, 0])])

    /// The structures, each with 4 KiB of BAR 4, and 4 bytes from one doorbell to the next.
    public static let capabilities: [[UInt8]] = [
        structure(1, at: 0x0000), structure(3, at: 0x1000), structure(4, at: 0x2000),
        structure(2, at: 0x3000, doorbellStride: 4),
    ]

    private static func structure(_ kind: UInt8, at offset: UInt32, doorbellStride: UInt32? = nil) -> [UInt8] {
        let words = [offset, 0x1000] + (doorbellStride.map { [$0] } ?? [])
        let header: [UInt8] = [UInt8(8 + words.count * 4), kind, 4, 0, 0, 0]
        return header + words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) } }
    }

    /// The address of the card, 48 bits, the first byte as the highest.
    public let macAddress: UInt64
    /// What the card is connected to.
    public let network: Network
    /// What the card offers: MAC, STATUS, VERSION_1 and ACCESS_PLATFORM at first, as bits. Without the last (bit 33) QEMU's
    /// card would do DMA past the IOMMU; this one does it through the IOMMU all the same.
    public var offeredFeatures: UInt64 = 1 << 5 | 1 << 16 | 1 << 32 | 1 << 33
    /// What goes wrong from now on.
    public var faults: Set<VirtioNetFault> = []
    /// Whether the card tells the driver not to ring its doorbells, as one does that looks by itself, in ``look(bus:)``.
    public var isNotificationUnwanted = false {
        didSet { for index in queues.indices { queues[index].isNotificationUnwanted = isNotificationUnwanted } }
    }

    /// How often the doorbells of the two queues were rung.
    public private(set) var doorbellCounts = [0, 0]
    /// What the driver has accepted.
    public private(set) var acceptedFeatures: UInt64 = 0
    /// The device's status, as the driver sees it.
    public private(set) var status: UInt8 = 0

    var deviceFeatureWord: UInt32 = 0
    var driverFeatureWord: UInt32 = 0
    var configVector: UInt16 = 0xffff
    var queueSelect: UInt16 = 0
    var queues = [VirtioNetQueue](repeating: VirtioNetQueue(), count: 2)
    private var interruptStatus: UInt8 = 0
    private var sent: [[UInt8]] = []
    private var waiting: [[UInt8]] = []

    private static let headerByteCount = 12
    private static let waitingLimit = 1024
    /// The longest packet that is sent, with its header.
    private static let packetLimit = 65536 + headerByteCount

    /// - Parameters:
    ///   - macAddress: Of the card, 48 bits; the lab's has 52:54:00:00:00:07.
    ///   - network: What the card is connected to.
    public init(macAddress: UInt64 = 0x5254_0000_0007, network: Network = .loopback) {
        self.macAddress = macAddress
        self.network = network
    }

    // MARK: The network

    /// The frames that were sent since the last call, in their order.
    public mutating func takeSentFrames() -> [[UInt8]] {
        defer { sent = [] }
        return sent
    }

    /// Lets frames come from the network.
    public mutating func deliver(_ frames: [[UInt8]], bus: borrowing MockBus) {
        waiting += frames
        if waiting.count > Self.waitingLimit { waiting.removeLast(waiting.count - Self.waitingLimit) }
        receive(bus)
    }

    /// How many frames wait for a buffer of the driver's.
    public var waitingFrameCount: Int { waiting.count }

    /// Looks at both queues, as when their doorbells are rung, and tells the driver whether it has to ring them.
    public mutating func look(bus: borrowing MockBus) {
        writeFlags(bus)
        transmit(bus)
        receive(bus)
    }

    /// Meets an error: does nothing more until it is reset, and says so.
    public mutating func fail(bus: borrowing MockBus) {
        status |= 64
        raise(configVector, interruptStatus: 2, bus)
    }

    // MARK: Registers

    public mutating func read(bar: Int, at offset: UInt64, width: Int, bus: borrowing MockBus) -> UInt64 {
        switch offset {
        case 0..<0x1000: return readCommon(Int(offset), width)
        case 0x1000:
            defer {
                interruptStatus = 0
                bus.setINTx(false)
            }
            return UInt64(interruptStatus)
        case 0x2000..<0x3000:
            // The address, the status with the link up, one pair of queues.
            let bytes = (0..<6).map { UInt8(truncatingIfNeeded: macAddress >> (40 - $0 * 8)) } + [1, 0, 1, 0]
            let start = Int(offset) - 0x2000
            return (start..<start + width).reversed().reduce(0) { $0 << 8 | ($1 < bytes.count ? UInt64(bytes[$1]) : 0) }
        default: return 0
        }
    }

    public mutating func write(
        _ value: UInt64, bar: Int, at offset: UInt64, width: Int, bus: borrowing MockBus
    ) {
        switch offset {
        case 0..<0x1000: writeCommon(value, Int(offset), width, bus)
        case 0x3000, 0x3004:
            let queue = Int(offset - 0x3000) / 4
            doorbellCounts[queue] += 1
            if queue == 0 { receive(bus) } else { transmit(bus) }
        default: break
        }
    }

    public mutating func reset(bus: borrowing MockBus) {
        status = 0
        acceptedFeatures = 0
        deviceFeatureWord = 0
        driverFeatureWord = 0
        configVector = 0xffff
        queueSelect = 0
        for index in queues.indices { queues[index] = VirtioNetQueue() }
        interruptStatus = 0
        waiting = []
        bus.setINTx(false)
    }

    /// The driver writes the status: 0 resets the card, other bits are only added.
    mutating func setStatus(_ value: UInt8, _ bus: borrowing MockBus) {
        guard value != 0 else {
            if !faults.contains(.staysInReset) { reset(bus: bus) }
            return
        }
        var value = value
        if value & 8 != 0, status & 8 == 0 {
            let isRefused =
                faults.contains(.refusesFeatures) || acceptedFeatures & ~offeredFeatures != 0
                || acceptedFeatures & 1 << 32 == 0
            if isRefused { value &= ~8 }
        }
        status = value | status & 64
        guard status & 4 != 0 else { return }
        writeFlags(bus)
        // Frames may have been there before the driver.
        receive(bus)
    }

    private func writeFlags(_ bus: borrowing MockBus) {
        guard isRunning else { return }
        for queue in queues { queue.writeFlags(bus) }
    }

    mutating func accept(_ word: UInt32, _ value: UInt32) {
        guard word < 2, status & 8 == 0 else { return }
        let shift = UInt64(word) * 32
        acceptedFeatures = acceptedFeatures & ~(0xffff_ffff << shift) | UInt64(value) << shift
    }

    // MARK: Queues

    /// Whether the driver is ready, and the card has met no error.
    private var isRunning: Bool { status & 4 != 0 && status & 64 == 0 }

    private mutating func transmit(_ bus: borrowing MockBus) {
        guard isRunning else { return }
        var isUsed = false
        while let chain = queues[1].next(bus) {
            var packet: [UInt8] = []
            for part in chain.parts where !part.isWritable {
                // The rest of a longer one is not sent.
                packet += bus.read(part.iova, byteCount: min(part.byteCount, Self.packetLimit - packet.count))
            }
            queues[1].use(chain.id, byteCount: 0, faults, bus)
            isUsed = true
            guard packet.count >= Self.headerByteCount else { continue }
            let frame = Array(packet[Self.headerByteCount...])
            switch network {
            case .loopback: waiting.append(frame)
            case .collected: sent.append(frame)
            }
        }
        if isUsed, queues[1].wantsInterrupt(bus) { raise(queues[1].vector, interruptStatus: 1, bus) }
        if network == .loopback { deliver([], bus: bus) }
    }

    private mutating func receive(_ bus: borrowing MockBus) {
        guard isRunning else { return }
        var count = 0
        while count < waiting.count, let chain = queues[0].next(bus) {
            // No flags, no segments, one buffer.
            var packet: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]
            packet += waiting[count]
            count += 1
            var done = 0
            for part in chain.parts where part.isWritable {
                let end = min(done + part.byteCount, packet.count)
                bus.write(packet[done..<end], to: part.iova)
                done = end
            }
            queues[0].use(chain.id, byteCount: UInt32(done), faults, bus)
        }
        waiting.removeFirst(count)
        if count > 0, queues[0].wantsInterrupt(bus) { raise(queues[0].vector, interruptStatus: 1, bus) }
    }

    private mutating func raise(_ vector: UInt16, interruptStatus bits: UInt8, _ bus: borrowing MockBus) {
        guard !faults.contains(.losesInterrupts) else { return }
        if bus.isMSIXEnabled {
            if vector != 0xffff { bus.raiseMSIX(vector: Int(vector)) }
        } else {
            interruptStatus |= bits
            bus.setINTx(true)
        }
    }
}
