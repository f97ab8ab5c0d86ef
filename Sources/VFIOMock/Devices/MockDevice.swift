/// A device as a program: what it is, what its registers do, how it does DMA and raises interrupts.
///
/// A model describes itself in ``pci``; the mock makes its config space, BARs and interrupts from that. Registers with
/// side effects are the two functions below. BARs that are plain memory need no code at all.
/// ```swift
/// struct Doorbell: MockDevice {
///     let pci = MockPCIFunction(vendor: 0x1234, device: 1, bars: [0: .registers(4096)], msiVectors: 1)
///     var rings: UInt64 = 0
///
///     mutating func read(bar: Int, at offset: UInt64, width: Int, bus: borrowing MockBus) -> UInt64 { rings }
///
///     mutating func write(_ value: UInt64, bar: Int, at offset: UInt64, width: Int, bus: borrowing MockBus) {
///         rings += 1
///         bus.raiseMSI()
///     }
/// }
/// ```
/// The mock owns its copy of a model, and makes one call at a time into the whole machine, so a model needs no lock.
/// Within a call a model may do DMA and raise interrupts through the bus as it likes; it must not make calls of the
/// `Kernel` or of ``MockMachine``, which would wait for the call to end. A device that acts on its own time, from a
/// thread or a test, does so in ``MockMachine/withDevice(_:at:_:)``.
public protocol MockDevice: Sendable {
    /// What the device is. Asked once, when it is plugged in.
    var pci: MockPCIFunction { get }

    /// A load from a BAR of the kind `registers`.
    ///
    /// - Parameters:
    ///   - bar: The number of the BAR.
    ///   - offset: In bytes from its start.
    ///   - width: 1, 2, 4 or 8 bytes; the offset is a multiple of it.
    ///   - bus: The way to the rest of the machine, for the time of the call.
    mutating func read(bar: Int, at offset: UInt64, width: Int, bus: borrowing MockBus) -> UInt64

    /// A store to a BAR of the kind `registers`. For the parameters see `read`.
    mutating func write(_ value: UInt64, bar: Int, at offset: UInt64, width: Int, bus: borrowing MockBus)

    /// A reset of the function. The mock itself resets config space and takes the interrupts away.
    mutating func reset(bus: borrowing MockBus)

    /// The device has been plugged in: the time to fill its memory.
    mutating func start(bus: borrowing MockBus)
}

extension MockDevice {
    /// All ones, as a bus reads where no device answers.
    public mutating func read(bar: Int, at offset: UInt64, width: Int, bus: borrowing MockBus) -> UInt64 { .max }

    /// Nothing.
    public mutating func write(_ value: UInt64, bar: Int, at offset: UInt64, width: Int, bus: borrowing MockBus) {}

    /// Nothing.
    public mutating func reset(bus: borrowing MockBus) {}

    /// Nothing.
    public mutating func start(bus: borrowing MockBus) {}
}

/// What stands in for a device's model while a test holds that.
struct AbsentDevice: MockDevice {
    let pci: MockPCIFunction
}
