/// A network card of virtio 1.0 whose registers are plain memory, without a device behind them, so that its BAR can be
/// mapped: for measurements of a driver, where the program itself acts as the device on the rings.
///
/// It accepts any features, and both queues have the same doorbell. It raises no interrupts.
public struct VirtioNetMemoryModel: MockDevice {
    public let pci = MockPCIFunction(
        vendor: 0x1af4, device: 0x1041, classCode: 0x020000, revision: 1, bars: [4: .memory(16384)], isExpress: true,
        hasFunctionLevelReset: true, vendorCapabilities: VirtioNetModel.capabilities)

    private let queueSize: UInt16

    /// - Parameter queueSize: The maximum number of entries of a queue, a power of two.
    public init(queueSize: UInt16 = 256) { self.queueSize = queueSize }

    public mutating func reset(bus: borrowing MockBus) { start(bus: bus) }

    public mutating func start(bus: borrowing MockBus) {
        bus.writeMemory(bar: 4, at: 0, [UInt8](repeating: 0, count: 64))
        // The same for both halves of the features: VERSION_1 and ACCESS_PLATFORM in one, and checksums, which the
        // driver need not accept, in the other.
        bus.writeMemory(bar: 4, at: 0x04, [3])
        bus.writeMemory(bar: 4, at: 0x12, [2])
        bus.writeMemory(bar: 4, at: 0x18, queueSize)
    }
}
