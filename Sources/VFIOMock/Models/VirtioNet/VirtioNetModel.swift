/// QEMU's `virtio-net-pci` without its legacy interface, 1af4:1041: a network card of virtio 1.0 with one pair of
/// queues.
///
/// Registers are in BAR 4, as in QEMU, and its interrupts are MSI-X or the pin. Its network returns each sent frame, as
/// in the project's lab, or leaves the frames to the test:
/// ```swift
/// machine.plug(VirtioNetModel(network: .collected), at: "0000:03:00.0")
/// …
/// let frames = machine.withDevice(VirtioNetModel.self, at: "0000:03:00.0") { card, _ in card.takeSentFrames() }
/// machine.withDevice(VirtioNetModel.self, at: "0000:04:00.0") { card, bus in card.deliver(frames, bus: bus) }
/// ```
/// A frame is sent before the store to the doorbell returns. Received frames wait for a buffer, and the oldest 1024 are
/// kept.
///
/// It has no offloads, no packed queues, no indirect descriptors, and no PCI configuration access capability.
public struct VirtioNetModel: MockDevice {
    /// The network of the card.
    public enum Network: Sendable, Hashable {
        /// Each sent frame is received again.
        case loopback
        /// Sent frames are kept for ``VirtioNetModel/takeSentFrames()``, and only delivered ones are received.
        case collected
    }

    public let pci = MockPCIFunction(
        vendor: 0x1af4, device: 0x1041, classCode: 0x020000, revision: 1,
        bars: [1: .init(.memory, 4096), 4: .init(.registers, 16384, is64Bit: true, isPrefetchable: true)],
        hasINTx: true, msix: .init(vectors: 4, bar: 1, tableOffset: 0, pendingOffset: 0x800), isExpress: true,
        hasFunctionLevelReset: true, hasPowerManagement: true, vendorCapabilities: Self.capabilities,
        // ATS: page-aligned requests, 32 invalidations; disabled.
        extendedCapabilities: [.init(id: 0x0f, bytes: [0x20, 0, 0, 0])])

    /// The structures, each with 4 KiB of BAR 4; doorbells are 4 bytes apart.
    public static let capabilities: [[UInt8]] = [
        structure(1, at: 0x0000), structure(3, at: 0x1000), structure(4, at: 0x2000),
        structure(2, at: 0x3000, doorbellStride: 4),
    ]

    private static func structure(_ kind: UInt8, at offset: UInt32, doorbellStride: UInt32? = nil) -> [UInt8] {
        let words = [offset, 0x1000] + (doorbellStride.map { [$0] } ?? [])
        let header: [UInt8] = [UInt8(8 + words.count * 4), kind, 4, 0, 0, 0]
        return header + words.flatMap(\.littleEndianBytes)
    }

    /// The MAC address, 48 bits, the first byte as the highest.
    public let macAddress: UInt64
    /// The network of the card.
    public let network: Network
    /// The offered features: MAC, STATUS, VERSION_1 and ACCESS_PLATFORM at first, as bits. Without the last (bit 33)
    /// QEMU's card bypasses the IOMMU; this one does not.
    public var offeredFeatures: UInt64 = 1 << 5 | 1 << 16 | 1 << 32 | 1 << 33
    /// The current faults.
    public var faults: Set<VirtioNetFault> = []
    /// Whether the card tells the driver not to notify it, since it polls, by ``look(bus:)``.
    public var isNotificationUnwanted = false {
        didSet { for index in queues.indices { queues[index].isNotificationUnwanted = isNotificationUnwanted } }
    }

    /// The number of writes to the doorbells of the two queues.
    public private(set) var doorbellCounts = [0, 0]
    /// The features that the driver accepted.
    public private(set) var acceptedFeatures: UInt64 = 0
    /// The device status.
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
    /// The maximum length of a sent packet with its header.
    private static let packetLimit = 65536 + headerByteCount

    /// - Parameters:
    ///   - macAddress: The MAC address, 48 bits; in the lab it is 52:54:00:00:00:07.
    ///   - network: The network of the card.
    public init(macAddress: UInt64 = 0x5254_0000_0007, network: Network = .loopback) {
        self.macAddress = macAddress
        self.network = network
    }

    // MARK: The network

    /// Returns the frames sent since the last call, in order.
    public mutating func takeSentFrames() -> [[UInt8]] {
        defer { sent = [] }
        return sent
    }

    /// Delivers frames from the network.
    public mutating func deliver(_ frames: [[UInt8]], bus: borrowing MockBus) {
        waiting += frames
        if waiting.count > Self.waitingLimit { waiting.removeLast(waiting.count - Self.waitingLimit) }
        receive(bus)
    }

    /// The number of frames that wait for a buffer.
    public var waitingFrameCount: Int { waiting.count }

    /// Processes both queues, as on a notification, and updates the notification flags.
    public mutating func look(bus: borrowing MockBus) {
        writeFlags(bus)
        transmit(bus)
        receive(bus)
    }

    /// Enters the error state (DEVICE_NEEDS_RESET) until a reset, and notifies the driver.
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

    public mutating func write(_ value: UInt64, bar: Int, at offset: UInt64, width: Int, bus: borrowing MockBus) {
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

    /// Handles a write to the status: 0 resets the card, and other bits are only added.
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
        // Frames may have arrived before the driver.
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

    /// Whether the driver is ready, and the card not in the error state.
    private var isRunning: Bool { status & 4 != 0 && status & 64 == 0 }

    private mutating func transmit(_ bus: borrowing MockBus) {
        guard isRunning else { return }
        var isUsed = false
        while let chain = queues[1].next(bus) {
            var packet: [UInt8] = []
            for part in chain.parts where !part.isWritable {
                // A longer packet is truncated.
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
