/// QEMU's `nvme`, 1b36:0010, without a controller: its identity, its capabilities, and the controller memory buffer in
/// BAR 2.
///
/// It has FLR, D3hot, and 65 MSI-X vectors, whose table is in BAR 0. The registers of the controller can be read, but
/// no queue works: use ``NVMeModel`` for that.
public struct NVMeMemoryModel: MockDevice {
    public let pci: MockPCIFunction

    /// - Parameter memoryByteCount: The size of the controller memory buffer, a power of two.
    public init(memoryByteCount: Int = 4 << 20) {
        pci = NVMeModel.function(.memory, memoryByteCount: memoryByteCount)
    }

    public mutating func start(bus: borrowing MockBus) {
        bus.writeMemory(bar: 0, at: 0, [UInt8](repeating: 0, count: 64))
        // CAP as in QEMU: 2048 entries a queue, contiguous queues, 7.5 s timeout, pages of 4 to 64 KiB, a controller
        // memory buffer.
        bus.writeMemory(bar: 0, at: 0, 0x0240_1820_0f01_07ff as UInt64)
        bus.writeMemory(bar: 0, at: 8, NVMeModel.version)
    }

    public mutating func reset(bus: borrowing MockBus) { start(bus: bus) }
}
