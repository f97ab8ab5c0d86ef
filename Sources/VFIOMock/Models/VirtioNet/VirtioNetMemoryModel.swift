/// A network card of virtio 1.0 whose registers are plain memory, so that its BAR can be mapped, and without a card behind them:
/// for measurements of a driver, in which the program itself plays the card on the rings' memory.
///
/// It agrees with whatever the driver chooses, and both queues have the same doorbell. It raises no interrupts.
public struct VirtioNetMemoryModel: MockDevice {
    public let pci = MockPCIFunction(
        vendor: 0x1af4, device: 0x1041, classCode: 0x020000, revision: 1, bars: [4: .memory(16384)], isExpress: true,
        hasFunctionLevelReset: true, vendorCapabilities: VirtioNetModel.capabilities)

    private let queueSize: UInt16

    /// - Parameter queueSize: The most entries of a queue, a power of two.
    public init(queueSize: UInt16 = 256) { self.queueSize = queueSize }

    public mutating func start(bus: borrowing MockBus) { setRegisters(bus) }

    public mutating func reset(bus: borrowing MockBus) { setRegisters(bus) }

    private func setRegisters(_ bus: borrowing MockBus) {
        bus.writeMemory(bar: 4, at: 0, [UInt8](repeating: 0, count: 64))
        // The same for both halves of the features, whichever is selected: VERSION_1 and ACCESS_PLATFORM in the one, and
        // in the other checksums, which the driver need not take.
        bus.writeMemory(bar: 4, at: 0x04, [3])
        bus.writeMemory(bar: 4, at: 0x12, [2])
        bus.writeMemory(bar: 4, at: 0x18, [UInt8(truncatingIfNeeded: queueSize), UInt8(queueSize >> 8)])
    }
}
