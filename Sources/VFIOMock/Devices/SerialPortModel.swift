/// The kernel's sample mediated device mtty, 4348:3253: serial ports that loop back what is sent, and that can migrate.
///
/// BAR 0, and BAR 1 of two ports, are the eight registers of a 16550. What is written to the first of them is read from
/// there again, in order; 16 bytes wait at most. The model raises no interrupts.
public struct SerialPortModel: MigratableDevice {
    private struct Port: Sendable {
        var registers = [UInt8](repeating: 0, count: 8)
        var waiting = [UInt8](repeating: 0, count: capacity)
        var head: UInt8 = 0
        var tail: UInt8 = 0
        var count: UInt8 = 0
        var isOverrun = false

        static let capacity = 16

        /// As the sample has it in memory: registers, buffer, head, tail, count, DLAB, overrun, and settings.
        static let stateByteCount = 36

        var state: [UInt8] {
            let flags: [UInt8] = [registers[3] >> 7, isOverrun ? 1 : 0]
            let bytes = registers + waiting + [head, tail, count] + flags
            return bytes + [UInt8](repeating: 0, count: Self.stateByteCount - bytes.count)
        }

        init() {}

        init(state: [UInt8]) {
            registers = Array(state[0..<8])
            waiting = Array(state[8..<24])
            // The state comes from outside; what it says must not lead out of the buffer.
            head = state[24] % UInt8(Self.capacity)
            tail = state[25] % UInt8(Self.capacity)
            count = state[26]
            isOverrun = state[28] != 0
        }
    }

    public let pci: MockPCIFunction
    private var ports: [Port]

    /// - Parameter portCount: 1 or 2.
    public init(portCount: Int = 1) {
        precondition((1...2).contains(portCount), "it has one or two ports")
        ports = [Port](repeating: Port(), count: portCount)
        var bars: [Int: MockPCIFunction.BAR] = [:]
        for number in 0..<portCount { bars[number] = .registers(8) }
        pci = MockPCIFunction(
            vendor: 0x4348, device: 0x3253, classCode: 0x070002, revision: 0x10, bars: bars, hasINTx: true,
            msiVectors: 1)
    }

    public mutating func read(bar: Int, at offset: UInt64, width: Int, bus: borrowing MockBus) -> UInt64 {
        switch offset {
        case 0:
            guard ports[bar].head != ports[bar].tail else { return 0 }
            let byte = ports[bar].waiting[Int(ports[bar].tail)]
            ports[bar].count &-= 1
            ports[bar].tail = (ports[bar].tail + 1) % UInt8(Port.capacity)
            return UInt64(byte)
        case 1: return UInt64(ports[bar].registers[1] & 0x0f)
        case 2: return 0xc1
        case 3, 4, 7: return UInt64(ports[bar].registers[Int(offset)])
        case 5:
            let status: UInt8 = ports[bar].head != ports[bar].tail ? 0x01 : 0x60
            return UInt64(status | (ports[bar].isOverrun ? 0x02 : 0))
        default: return 0
        }
    }

    public mutating func write(_ value: UInt64, bar: Int, at offset: UInt64, width: Int, bus: borrowing MockBus) {
        let byte = UInt8(truncatingIfNeeded: value)
        switch offset {
        case 0:
            guard ports[bar].count < Port.capacity else {
                ports[bar].isOverrun = true
                return
            }
            ports[bar].waiting[Int(ports[bar].head)] = byte
            ports[bar].head = (ports[bar].head + 1) % UInt8(Port.capacity)
            ports[bar].count += 1
            ports[bar].isOverrun = false
        case 2 where byte & 0x06 != 0: (ports[bar].head, ports[bar].tail, ports[bar].count) = (0, 0, 0)
        case 1, 3, 4, 7: ports[bar].registers[Int(offset)] = byte
        default: break
        }
    }

    // MARK: Migration

    public var streamHeader: [UInt8] {
        // A number to know it by, version 1.0, the number of ports, and flags.
        Self.bytes(0x7e9d_0989_8c3e_2c4e as UInt64) + Self.bytes(1 as UInt32) + Self.bytes(0 as UInt32)
            + Self.bytes(UInt32(ports.count)) + Self.bytes(0 as UInt32)
    }

    public var streamState: [UInt8] { ports.flatMap(\.state) }

    public func accepts(streamHeader: [UInt8]) -> Bool { streamHeader == self.streamHeader }

    public mutating func load(streamState: [UInt8]) {
        for number in ports.indices {
            let start = number * Port.stateByteCount
            ports[number] = Port(state: Array(streamState[start..<start + Port.stateByteCount]))
        }
    }

    private static func bytes<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
        (0..<Value.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> Value($0 * 8)) }
    }
}
