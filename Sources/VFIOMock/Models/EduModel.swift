import VFIO

/// QEMU's educational device, 1234:11e8: a factorial, interrupts, and DMA between memory and a buffer of 4 KiB.
///
/// The registers are those of QEMU's `docs/specs/edu`, in BAR 0. Transfers and factorials complete before the store
/// that starts them returns, so polling drivers and interrupt-driven ones work.
public struct EduModel: MockDevice {
    /// The address bits of its DMA engine: QEMU's `dma_mask`.
    public let dmaMask: UInt64

    public let pci = MockPCIFunction(
        vendor: 0x1234, device: 0x11e8, classCode: 0x00ff00, revision: 0x10, bars: [0: .registers(1 << 20)],
        hasINTx: true, msiVectors: 1)

    private var liveness: UInt32 = 0
    private var factorial: UInt32 = 0
    private var raisesWhenComputed = false
    /// The raised and not acknowledged interrupts.
    public private(set) var interruptStatus: UInt32 = 0
    private var source: UInt64 = 0
    private var destination: UInt64 = 0
    private var count: UInt64 = 0
    private var command: UInt64 = 0
    /// The device's buffer, at its own address 0x40000.
    public private(set) var buffer = [UInt8](repeating: 0, count: 4096)

    private static let bufferAddress: UInt64 = 0x40000
    private static let raisesWhenComputedBit: UInt64 = 0x80
    private static let computedInterrupt: UInt32 = 0x1
    private static let dmaInterrupt: UInt32 = 0x100

    /// - Parameter dmaMask: The address bits of the DMA engine, 28 as in QEMU unless given.
    public init(dmaMask: UInt64 = (1 << 28) - 1) { self.dmaMask = dmaMask }

    public mutating func read(bar: Int, at offset: UInt64, width: Int, bus: borrowing MockBus) -> UInt64 {
        // QEMU refuses narrow accesses, and refused reads return zeros.
        guard width >= 4 else { return 0 }
        guard width == 4 || offset >= 0x80 else { return .max }
        switch offset {
        case 0x00: return 0x0100_00ed
        case 0x04: return UInt64(liveness)
        case 0x08: return UInt64(factorial)
        case 0x20: return raisesWhenComputed ? Self.raisesWhenComputedBit : 0
        case 0x24: return UInt64(interruptStatus)
        case 0x80: return source
        case 0x88: return destination
        case 0x90: return count
        case 0x98: return command
        default: return .max
        }
    }

    public mutating func write(_ value: UInt64, bar: Int, at offset: UInt64, width: Int, bus: borrowing MockBus) {
        guard width == 4 || (width == 8 && offset >= 0x80) else { return }
        switch offset {
        case 0x04: liveness = ~UInt32(truncatingIfNeeded: value)
        case 0x08:
            let number = UInt32(truncatingIfNeeded: value)
            // From 34 on the product is 0 modulo 2^32.
            factorial = number >= 34 ? 0 : (0..<number).reduce(1) { $0 &* ($1 + 1) }
            if raisesWhenComputed { raise(Self.computedInterrupt, bus) }
        case 0x20: raisesWhenComputed = value & Self.raisesWhenComputedBit != 0
        case 0x60: raise(UInt32(truncatingIfNeeded: value), bus)
        case 0x64:
            interruptStatus &= ~UInt32(truncatingIfNeeded: value)
            if interruptStatus == 0 { bus.setINTx(false) }
        case 0x80: source = value
        case 0x88: destination = value
        case 0x90: count = value
        case 0x98 where value & 1 != 0:
            command = value
            transfer(bus)
        default: break
        }
    }

    private mutating func transfer(_ bus: borrowing MockBus) {
        let isToMemory = command & 2 != 0
        let device = isToMemory ? source : destination
        let memory = IOVA((isToMemory ? destination : source) & dmaMask)
        let start = device &- Self.bufferAddress
        if start <= 4096, count <= 4096 - start {
            let range = Int(start)..<Int(start + count)
            if isToMemory {
                bus.write(buffer[range], to: memory)
            } else {
                buffer.replaceSubrange(range, with: bus.read(memory, byteCount: range.count))
            }
        }
        command &= ~1
        if command & 4 != 0 { raise(Self.dmaInterrupt, bus) }
    }

    private mutating func raise(_ interrupts: UInt32, _ bus: borrowing MockBus) {
        interruptStatus |= interrupts
        guard interruptStatus != 0 else { return }
        if bus.isMSIEnabled { bus.raiseMSI() } else { bus.setINTx(true) }
    }
}
