public import VFIO

/// The kernel's sample mediated device mbochs, 1234:1111: QEMU's standard display, with its memory in BAR 0 and the
/// registers of the Bochs interface in BAR 2. It exports its framebuffer as dma-bufs, and its EDID is region 9.
public struct BochsDisplayModel: DisplayDevice {
    private enum Register: Int, CaseIterable {
        case identification, width, height, bitsPerPixel, enable, bank, virtualWidth, virtualHeight, offsetX, offsetY
        case memory64K
    }

    /// The 16-bit registers in BAR 2.
    private static let registers = 0x500..<0x516
    /// The offset of the EDID in region 9, after registers of 32 bits.
    private static let descriptionOffset = 2048
    private static let descriptionCapacity = 1024
    private static let monitorRegion = 9

    public let pci: MockPCIFunction
    private let memoryByteCount: Int
    private var values: [UInt16] = []
    /// The registers of region 9. The size of the EDID and the state of the link are writable.
    private var monitor: [UInt32]
    private var description = [UInt8](repeating: 0, count: descriptionCapacity)

    /// - Parameters:
    ///   - memoryByteCount: The size of the framebuffer memory, a power of two.
    ///   - width: The maximum width in pixels.
    ///   - height: The maximum height in pixels.
    public init(memoryByteCount: Int = 4 << 20, width: Int = 800, height: Int = 600) {
        self.memoryByteCount = memoryByteCount
        monitor = [
            UInt32(Self.descriptionOffset), UInt32(Self.descriptionCapacity), 0, UInt32(width), UInt32(height), 0,
        ]
        pci = MockPCIFunction(
            vendor: 0x1234, device: 0x1111, classCode: 0x038000, revision: 1,
            bars: [0: .init(.memory, memoryByteCount, isPrefetchable: true), 2: .registers(4096)],
            typedRegions: [.init(.graphicsEDID, 4096)])
        clear()
    }

    private subscript(_ register: Register) -> UInt16 { values[register.rawValue] }

    private mutating func clear() {
        values = [UInt16](repeating: 0, count: Register.allCases.count)
        values[Register.identification.rawValue] = 0xb0c5
        values[Register.memory64K.rawValue] = UInt16(memoryByteCount >> 16)
    }

    public mutating func reset(bus: borrowing MockBus) { clear() }

    public var displayPlaneType: DisplayPlane.PlaneType { .dmaBuf }

    public var picture: MockPicture? {
        guard self[.enable] & 1 != 0, self[.bitsPerPixel] == 32 else { return nil }
        let (width, height) = (Int(self[.width]), Int(self[.height]))
        let stride = max(Int(self[.virtualWidth]), width) * 4
        let offset = Int(self[.offsetX]) * 4 + Int(self[.offsetY]) * stride
        guard width >= 64, height >= 64, offset + stride * height <= memoryByteCount else { return nil }
        return MockPicture(
            format: .xrgb8888, width: width, height: height, stride: stride, offset: offset,
            byteCount: stride * height)
    }

    public mutating func read(bar: Int, at offset: UInt64, width: Int, bus: borrowing MockBus) -> UInt64 {
        let offset = Int(offset)
        if bar == Self.monitorRegion {
            if offset < Self.descriptionOffset {
                return width == 4 && offset < monitor.count * 4 ? UInt64(monitor[offset / 4]) : 0
            }
            let start = offset - Self.descriptionOffset
            guard start + width <= description.count else { return 0 }
            return description.integer(at: start, width)
        }
        guard width == 2, Self.registers.contains(offset) else { return 0 }
        return UInt64(values[(offset - Self.registers.lowerBound) / 2])
    }

    public mutating func write(_ value: UInt64, bar: Int, at offset: UInt64, width: Int, bus: borrowing MockBus) {
        let offset = Int(offset)
        if bar == Self.monitorRegion {
            if offset < Self.descriptionOffset {
                if width == 4 && (offset == 8 || offset == 20) { monitor[offset / 4] = UInt32(value) }
                return
            }
            let start = offset - Self.descriptionOffset
            if start + width <= description.count { description.set(start, value, width) }
            return
        }
        guard width == 2, Self.registers.contains(offset) else { return }
        values[(offset - Self.registers.lowerBound) / 2] = UInt16(truncatingIfNeeded: value)
    }
}
