/// A device model: its description, its registers, its DMA and its interrupts.
///
/// A model describes itself in ``pci``; the mock derives config space, BARs and interrupts from it. `read` and `write`
/// implement registers with side effects. BARs of plain memory need no code.
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
/// The mock owns its copy of a model and serializes all calls of a machine, so a model needs no lock. Within a call a
/// model may do DMA and raise interrupts through the bus. It must not call the `Kernel` or ``MockMachine``: that
/// deadlocks. For a device that acts by itself, a thread or the test calls ``MockMachine/withDevice(_:at:_:)``.
public protocol MockDevice: Sendable {
    /// The description of the device. Read once, when it is plugged in.
    var pci: MockPCIFunction { get }

    /// A load from a BAR of the kind `registers`.
    ///
    /// - Parameters:
    ///   - bar: The number of the BAR.
    ///   - offset: In bytes from its start.
    ///   - width: 1, 2, 4 or 8 bytes; the offset is a multiple of it.
    ///   - bus: The device's access to the machine, valid during the call.
    mutating func read(bar: Int, at offset: UInt64, width: Int, bus: borrowing MockBus) -> UInt64

    /// A store to a BAR of the kind `registers`. The parameters are those of `read`.
    mutating func write(_ value: UInt64, bar: Int, at offset: UInt64, width: Int, bus: borrowing MockBus)

    /// A reset of the function. The mock resets config space and disables the interrupts.
    mutating func reset(bus: borrowing MockBus)

    /// The device was plugged in; the model can initialize its memory.
    mutating func start(bus: borrowing MockBus)
}

extension MockDevice {
    /// Returns all ones, as a bus does where no device answers.
    public mutating func read(bar: Int, at offset: UInt64, width: Int, bus: borrowing MockBus) -> UInt64 { .max }

    /// Does nothing.
    public mutating func write(_ value: UInt64, bar: Int, at offset: UInt64, width: Int, bus: borrowing MockBus) {}

    /// Does nothing.
    public mutating func reset(bus: borrowing MockBus) {}

    /// Does nothing.
    public mutating func start(bus: borrowing MockBus) {}
}

/// The placeholder for a model that a test holds.
struct AbsentDevice: MockDevice {
    let pci: MockPCIFunction
}
