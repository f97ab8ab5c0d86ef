/// A card that is right but for some of its answers, or for where it says that its registers are.
struct WrongCard: MockDevice {
    let pci: MockPCIFunction
    /// What a load gives in place of the card's own answer, by the place in the common configuration structure.
    var answers: [UInt64: UInt64] = [:]
    /// The only queue whose registers answer so; `nil` for all.
    var wrongQueue: UInt64?
    /// Whether the configuration has another generation at each look.
    var changesAlways = false
    /// Whether the rings could be reached at the last reset, for each queue that was on.
    private(set) var ringsAtReset: [Bool] = []
    private var card = VirtioNetModel()
    private var selected: UInt64 = 0
    private var rings: [UInt64: UInt64] = [:]
    private var enabled: Set<UInt64> = []
    private var generation: UInt64 = 0

    /// The features that it offers.
    var offeredFeatures: UInt64 {
        get { card.offeredFeatures }
        set { card.offeredFeatures = newValue }
    }

    init(
        capabilities: [[UInt8]] = VirtioNetModel.capabilities, vendor: UInt16 = 0x1af4, device: UInt16 = 0x1041,
        subsystem: UInt16 = 0x1100
    ) {
        pci = MockPCIFunction(
            vendor: vendor, device: device, subsystem: subsystem, classCode: 0x020000, revision: 1,
            bars: [1: .init(.memory, 4096), 4: .init(.registers, 16384, is64Bit: true, isPrefetchable: true)],
            hasINTx: true, msix: .init(vectors: 4, bar: 1, tableOffset: 0, pendingOffset: 0x800), isExpress: true,
            hasFunctionLevelReset: true, vendorCapabilities: capabilities)
    }

    mutating func read(bar: Int, at offset: UInt64, width: Int, bus: borrowing MockBus) -> UInt64 {
        if offset == 0x15, changesAlways {
            generation = (generation + 1) % 256
            return generation
        }
        if let answer = answers[offset], wrongQueue == nil || wrongQueue == selected { return answer }
        return card.read(bar: bar, at: offset, width: width, bus: bus)
    }

    mutating func write(_ value: UInt64, bar: Int, at offset: UInt64, width: Int, bus: borrowing MockBus) {
        switch offset {
        case 0x14 where value == 0 && !enabled.isEmpty:
            ringsAtReset = enabled.sorted().map { queue in
                var bytes: [UInt8] = [0, 0]
                return bytes.withUnsafeMutableBytes { bus.read(IOVA(rings[queue] ?? 0), into: $0) }
            }
            enabled = []
        case 0x16: selected = value
        case 0x1c: enabled.insert(selected)
        case 0x20: rings[selected] = value
        case 0x24: rings[selected]! |= value << 32
        default: break
        }
        card.write(value, bar: bar, at: offset, width: width, bus: bus)
    }

    mutating func reset(bus: borrowing MockBus) { card.reset(bus: bus) }
}
