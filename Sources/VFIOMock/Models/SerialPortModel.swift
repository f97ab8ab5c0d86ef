/// The kernel's sample mediated device mtty, 4348:3253: migratable serial ports that loop back what is sent.
///
/// BAR 0, and BAR 1 of two ports, are the eight registers of a 16550. Bytes written to the first register are read back
/// in order; at most 16 are queued. The interrupt enable register selects the interrupts.
public struct SerialPortModel: MigratableDevice {
    /// The bits of the interrupt enable register.
    private enum Interrupt: UInt8 {
        case received = 1
        case empty = 2
        case lineStatus = 4
        case modem = 8
    }

    private struct Port: Sendable {
        var registers = [UInt8](repeating: 0, count: 8)
        var waiting = [UInt8](repeating: 0, count: capacity)
        var head: UInt8 = 0
        var tail: UInt8 = 0
        var count: UInt8 = 0
        var isOverrun = false
        var divisor: UInt16 = 0
        var fifoControl: UInt8 = 0
        var fifoSize = UInt8(capacity)
        /// The number of queued bytes that raises the interrupt; none until the FIFO is set up.
        var triggerLevel: UInt8 = 0

        static let capacity = 16

        /// The sample's layout: registers, buffer, head, tail, count, DLAB, overrun, and settings.
        static let stateByteCount = 36

        var state: [UInt8] {
            let settings = [registers[3] >> 7, isOverrun ? 1 : 0, 0, UInt8(divisor & 0xff), UInt8(divisor >> 8)]
            return registers + waiting + [head, tail, count] + settings + [fifoControl, fifoSize, triggerLevel, 0]
        }

        var isDivisorSelected: Bool { registers[3] & 0x80 != 0 }
        var isEmpty: Bool { head == tail }

        func asks(for interrupt: Interrupt) -> Bool { registers[1] & interrupt.rawValue != 0 }

        /// The interrupt identification register.
        var identification: UInt8 {
            var pending: UInt8 = 0
            if asks(for: .lineStatus) && isOverrun { pending |= 0x06 }
            if asks(for: .received) && count >= triggerLevel { pending |= 0x04 }
            if asks(for: .empty) && isEmpty { pending |= 0x02 }
            // The modem interrupt has no bits of its own.
            return (pending == 0 && !(asks(for: .modem) && registers[4] & 0x03 != 0) ? 0x01 : pending) | 0xc0
        }

        init() {}

        init(state: [UInt8]) {
            registers = Array(state[0..<8])
            waiting = Array(state[8..<24])
            // The state is untrusted: the indices must stay in the buffer.
            head = state[24] % UInt8(Self.capacity)
            tail = state[25] % UInt8(Self.capacity)
            count = state[26]
            isOverrun = state[28] != 0
            divisor = UInt16(state[30]) | UInt16(state[31]) << 8
            fifoControl = state[32]
            fifoSize = state[33]
            triggerLevel = state[34]
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
            if ports[bar].isDivisorSelected { return UInt64(ports[bar].divisor & 0xff) }
            var byte: UInt8 = 0
            if !ports[bar].isEmpty {
                byte = ports[bar].waiting[Int(ports[bar].tail)]
                ports[bar].count &-= 1
                ports[bar].tail = (ports[bar].tail + 1) % UInt8(Port.capacity)
            }
            if ports[bar].isEmpty && ports[bar].asks(for: .empty) { interrupt(bus) }
            return UInt64(byte)
        case 1:
            if ports[bar].isDivisorSelected { return UInt64(ports[bar].divisor >> 8) }
            return UInt64(ports[bar].registers[1] & 0x0f)
        case 2: return UInt64(ports[bar].identification)
        case 3, 4, 7: return UInt64(ports[bar].registers[Int(offset)])
        case 5:
            let status: UInt8 = ports[bar].isEmpty ? 0x60 : 0x01
            return UInt64(status | (ports[bar].isOverrun ? 0x02 : 0))
        default: return 0
        }
    }

    public mutating func write(_ value: UInt64, bar: Int, at offset: UInt64, width: Int, bus: borrowing MockBus) {
        let byte = UInt8(truncatingIfNeeded: value)
        switch offset {
        case 0 where ports[bar].isDivisorSelected: ports[bar].divisor |= UInt16(byte)
        case 0: receive(byte, bar, bus)
        case 1 where ports[bar].isDivisorSelected: ports[bar].divisor |= UInt16(byte) << 8
        case 1:
            ports[bar].registers[1] = byte
            if ports[bar].asks(for: .empty) && ports[bar].isEmpty { interrupt(bus) }
        case 2:
            ports[bar].fifoControl = byte
            if byte & 0x06 != 0 { (ports[bar].head, ports[bar].tail, ports[bar].count) = (0, 0, 0) }
            // The sample ignores the chosen level and uses 1.
            ports[bar].triggerLevel = 1
            ports[bar].fifoSize = byte & 1 != 0 ? UInt8(Port.capacity) : 1
        case 3:
            ports[bar].registers[3] = byte
            if ports[bar].isDivisorSelected { ports[bar].divisor = 0 }
        case 4:
            ports[bar].registers[4] = byte
            guard ports[bar].asks(for: .modem) else { return }
            if byte & 0x08 != 0 { interrupt(bus) }
            if byte & 0x03 != 0 { interrupt(bus) }
        case 7: ports[bar].registers[7] = byte
        default: break
        }
    }

    /// Queues a sent byte for reading.
    private mutating func receive(_ byte: UInt8, _ bar: Int, _ bus: borrowing MockBus) {
        guard ports[bar].count < ports[bar].fifoSize else {
            ports[bar].isOverrun = true
            if ports[bar].asks(for: .lineStatus) { interrupt(bus) }
            return
        }
        ports[bar].waiting[Int(ports[bar].head)] = byte
        ports[bar].head = (ports[bar].head + 1) % UInt8(Port.capacity)
        ports[bar].count += 1
        ports[bar].isOverrun = false
        if ports[bar].asks(for: .received) && ports[bar].count == ports[bar].triggerLevel { interrupt(bus) }
    }

    /// Sends an interrupt of the enabled kind; a masked one is lost.
    private func interrupt(_ bus: borrowing MockBus) {
        bus.raiseMSI()
        if !bus.isMSIEnabled {
            bus.setINTx(true)
            bus.setINTx(false)
        }
    }

    // MARK: Migration

    public var streamHeader: [UInt8] {
        // Magic number, version 1.0, number of ports, flags.
        (0x7e9d_0989_8c3e_2c4e as UInt64).littleEndianBytes
            + [1, 0, UInt32(ports.count), 0].flatMap(\.littleEndianBytes)
    }

    public var streamState: [UInt8] { ports.flatMap(\.state) }

    public func accepts(streamHeader: [UInt8]) -> Bool { streamHeader == self.streamHeader }

    public mutating func load(streamState: [UInt8]) {
        for number in ports.indices {
            let start = number * Port.stateByteCount
            ports[number] = Port(state: Array(streamState[start..<start + Port.stateByteCount]))
        }
    }
}
