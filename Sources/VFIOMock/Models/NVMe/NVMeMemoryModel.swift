/// QEMU's `nvme`, 1b36:0010, as far as one sees it without talking to the controller: its identity, capabilities, and
/// the controller memory buffer in BAR 2.
///
/// It can be reset (FLR), powered down (D3hot), and has 65 MSI-X vectors, whose table is in BAR 0. The registers of the
/// controller can be read, but no queue works: that of ``NVMeModel`` does.
public struct NVMeMemoryModel: MockDevice {
    public let pci: MockPCIFunction

    /// - Parameter memoryByteCount: The size of the controller memory buffer, a power of two.
    public init(memoryByteCount: Int = 4 << 20) {
        pci = NVMeModel.function(.memory, memoryByteCount: memoryByteCount)
    }

    public mutating func start(bus: borrowing MockBus) { setRegisters(bus) }

    public mutating func reset(bus: borrowing MockBus) { setRegisters(bus) }

    private func setRegisters(_ bus: borrowing MockBus) {
        // CAP, as QEMU has it: 2048 entries a queue, contiguous queues, 7.5 s timeout, pages of 4 to 64 KiB, a
        // controller memory buffer.
        let capabilities: UInt64 = 0x0240_1820_0f01_07ff
        // VS: 1.4.0.
        let version: UInt32 = 0x0001_0400
        bus.writeMemory(bar: 0, at: 0, [UInt8](repeating: 0, count: 64))
        bus.writeMemory(bar: 0, at: 0, (0..<8).map { UInt8(truncatingIfNeeded: capabilities >> ($0 * 8)) })
        bus.writeMemory(bar: 0, at: 8, (0..<4).map { UInt8(truncatingIfNeeded: version >> ($0 * 8)) })
    }
}
