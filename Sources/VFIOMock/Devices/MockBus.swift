public import VFIO

/// A device's way to the rest of the machine: DMA, interrupts, its own memory.
///
/// It is good only during the call that it came with, which the compiler sees to: it cannot be copied or kept.
@safe public struct MockBus: ~Copyable {
    private let core: Core
    private let function: PCIFunction

    init(core: Core, function: PCIFunction) {
        self.core = core
        self.function = function
    }

    /// Where the device sits.
    public var address: PCIAddress { function.address }

    /// Whether the driver lets the device do DMA (bit 2 of the command register). While it does not, reads give zeros,
    /// writes vanish, no message signalled interrupt arrives, and no fault is recorded.
    public var isMaster: Bool { function.config.isBusMaster }

    /// Whether the kernel has turned MSI on. A device with MSI on does not use its pin.
    public var isMSIEnabled: Bool { function.interrupts.kind == .msi }

    /// Whether the kernel has turned MSI-X on.
    public var isMSIXEnabled: Bool { function.interrupts.kind == .msix }

    /// DMA from memory, or from another device, into a buffer. What could not be read is zero.
    ///
    /// - Returns: Whether all of it could be read.
    @discardableResult
    public func read(_ iova: IOVA, into buffer: UnsafeMutableRawBufferPointer) -> Bool {
        unsafe core.dmaRead(function, iova.rawValue, into: buffer)
    }

    /// DMA from memory, or from another device. What could not be read is zero.
    public func read(_ iova: IOVA, byteCount: Int) -> [UInt8] {
        unsafe [UInt8](unsafeUninitializedCapacity: byteCount) { buffer, count in
            unsafe core.dmaRead(function, iova.rawValue, into: UnsafeMutableRawBufferPointer(buffer))
            count = byteCount
        }
    }

    /// DMA from a buffer to memory, or to another device. What the IOMMU refuses vanishes.
    ///
    /// - Returns: Whether all of it could be written.
    @discardableResult
    public func write(_ buffer: UnsafeRawBufferPointer, to iova: IOVA) -> Bool {
        unsafe core.dmaWrite(function, iova.rawValue, from: buffer)
    }

    /// DMA of bytes to memory, or to another device. What the IOMMU refuses vanishes.
    ///
    /// - Returns: Whether all of it could be written.
    @discardableResult
    public func write(_ bytes: some Collection<UInt8>, to iova: IOVA) -> Bool {
        let bytes = Array(bytes)
        return unsafe bytes.withUnsafeBytes { unsafe core.dmaWrite(function, iova.rawValue, from: $0) }
    }

    /// Sends a message signalled interrupt; nothing while MSI is off, or while the device may not do DMA: the message is
    /// a write to memory, and is not made up for later. (A mediated device's is no such write, and always arrives.)
    public func raiseMSI(vector: Int = 0) {
        if isMSIEnabled && (isMaster || function.mediated != nil) { function.interrupts.signal(vector) }
    }

    /// Sends an MSI-X interrupt; nothing while MSI-X is off, or while the device may not do DMA.
    public func raiseMSIX(vector: Int) {
        if isMSIXEnabled && isMaster { function.interrupts.signal(vector) }
    }

    /// Sets the level of the interrupt pin, which no bit of the command register but its own holds back.
    public func setINTx(_ isAsserted: Bool) { function.setINTx(isAsserted) }

    /// Reads the device's own memory behind a BAR of the kind `memory`.
    public func readMemory(bar: Int, at offset: Int, byteCount: Int) -> [UInt8] {
        guard let memory = function.memory[bar] else { preconditionFailure("BAR \(bar) is no memory") }
        return unsafe [UInt8](unsafeUninitializedCapacity: byteCount) { buffer, count in
            unsafe memory.read(at: offset, into: UnsafeMutableRawBufferPointer(buffer))
            count = byteCount
        }
    }

    /// Reads the device's own memory behind a BAR of the kind `memory`, into a buffer.
    public func readMemory(bar: Int, at offset: Int, into buffer: UnsafeMutableRawBufferPointer) {
        guard let memory = function.memory[bar] else { preconditionFailure("BAR \(bar) is no memory") }
        unsafe memory.read(at: offset, into: buffer)
    }

    /// Writes the device's own memory behind a BAR of the kind `memory`, from a buffer.
    public func writeMemory(bar: Int, at offset: Int, from buffer: UnsafeRawBufferPointer) {
        guard let memory = function.memory[bar] else { preconditionFailure("BAR \(bar) is no memory") }
        unsafe memory.write(at: offset, from: buffer)
    }

    /// Where a BAR is on the bus. The BAR has to be there.
    public func barAddress(_ bar: Int) -> UInt64 {
        guard let address = function.barAddresses[bar] else { preconditionFailure("there is no BAR \(bar)") }
        return address
    }

    /// Writes the device's own memory behind a BAR of the kind `memory`.
    public func writeMemory(bar: Int, at offset: Int, _ bytes: some Collection<UInt8>) {
        guard let memory = function.memory[bar] else { preconditionFailure("BAR \(bar) is no memory") }
        let bytes = Array(bytes)
        unsafe bytes.withUnsafeBytes { unsafe memory.write(at: offset, from: $0) }
    }
}
