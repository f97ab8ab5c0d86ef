public import VFIO

/// A device's place in the machine: what is behind a ``MockBus``.
protocol DeviceSlot: AnyObject {
    var address: PCIAddress { get }
    var isBusMaster: Bool { get }
    var isMSIEnabled: Bool { get }
    var isMSIXEnabled: Bool { get }
    /// Where the BARs are on the bus.
    var barAddresses: [Int: UInt64] { get }
    /// What is behind the BARs of the kind `memory`.
    var memory: [Int: MemoryObject] { get }

    func dmaRead(_ iova: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool
    func dmaWrite(_ iova: UInt64, from buffer: UnsafeRawBufferPointer) -> Bool
    func raiseMSI(_ vector: Int)
    func raiseMSIX(_ vector: Int)
    func setINTx(_ isAsserted: Bool)
}

/// A device's way to the rest of the machine: DMA, interrupts, its own memory.
///
/// It is good only during the call that it came with, which the compiler sees to: it cannot be copied or kept.
@safe public struct MockBus: ~Copyable {
    private let slot: any DeviceSlot

    init(_ slot: any DeviceSlot) { self.slot = slot }

    /// Where the device sits.
    public var address: PCIAddress { slot.address }

    /// Whether the driver lets the device do DMA (bit 2 of the command register). While it does not, reads give zeros,
    /// writes vanish, no message signalled interrupt arrives, and no fault is recorded.
    public var isMaster: Bool { slot.isBusMaster }

    /// Whether the kernel has turned MSI on. A device with MSI on does not use its pin.
    public var isMSIEnabled: Bool { slot.isMSIEnabled }

    /// Whether the kernel has turned MSI-X on.
    public var isMSIXEnabled: Bool { slot.isMSIXEnabled }

    /// DMA from memory, or from another device, into a buffer. What could not be read is zero.
    ///
    /// - Returns: Whether all of it could be read.
    @discardableResult
    public func read(_ iova: IOVA, into buffer: UnsafeMutableRawBufferPointer) -> Bool {
        unsafe slot.dmaRead(iova.rawValue, into: buffer)
    }

    /// DMA from memory, or from another device. What could not be read is zero.
    public func read(_ iova: IOVA, byteCount: Int) -> [UInt8] {
        unsafe [UInt8](unsafeUninitializedCapacity: byteCount) { buffer, count in
            _ = unsafe slot.dmaRead(iova.rawValue, into: UnsafeMutableRawBufferPointer(buffer))
            count = byteCount
        }
    }

    /// DMA from a buffer to memory, or to another device. What the IOMMU refuses vanishes.
    ///
    /// - Returns: Whether all of it could be written.
    @discardableResult
    public func write(_ buffer: UnsafeRawBufferPointer, to iova: IOVA) -> Bool {
        unsafe slot.dmaWrite(iova.rawValue, from: buffer)
    }

    /// DMA of bytes to memory, or to another device. What the IOMMU refuses vanishes.
    ///
    /// - Returns: Whether all of it could be written.
    @discardableResult
    public func write(_ bytes: some Collection<UInt8>, to iova: IOVA) -> Bool {
        let bytes = Array(bytes)
        return unsafe bytes.withUnsafeBytes { unsafe slot.dmaWrite(iova.rawValue, from: $0) }
    }

    /// Sends a message signalled interrupt; nothing while MSI is off, or while the device may not do DMA: the message is
    /// a write to memory, and is not made up for later. (A mediated device's is no such write, and always arrives.)
    public func raiseMSI(vector: Int = 0) { slot.raiseMSI(vector) }

    /// Sends an MSI-X interrupt; nothing while MSI-X is off, or while the device may not do DMA.
    public func raiseMSIX(vector: Int) { slot.raiseMSIX(vector) }

    /// Sets the level of the interrupt pin, which no bit of the command register but its own holds back.
    public func setINTx(_ isAsserted: Bool) { slot.setINTx(isAsserted) }

    private func memory(_ bar: Int) -> MemoryObject {
        guard let memory = slot.memory[bar] else { preconditionFailure("BAR \(bar) is no memory") }
        return memory
    }

    /// Reads the device's own memory behind a BAR of the kind `memory`.
    public func readMemory(bar: Int, at offset: Int, byteCount: Int) -> [UInt8] {
        unsafe [UInt8](unsafeUninitializedCapacity: byteCount) { buffer, count in
            unsafe memory(bar).read(at: offset, into: UnsafeMutableRawBufferPointer(buffer))
            count = byteCount
        }
    }

    /// Reads the device's own memory behind a BAR of the kind `memory`, into a buffer.
    public func readMemory(bar: Int, at offset: Int, into buffer: UnsafeMutableRawBufferPointer) {
        unsafe memory(bar).read(at: offset, into: buffer)
    }

    /// Writes the device's own memory behind a BAR of the kind `memory`, from a buffer.
    public func writeMemory(bar: Int, at offset: Int, from buffer: UnsafeRawBufferPointer) {
        unsafe memory(bar).write(at: offset, from: buffer)
    }

    /// Where a BAR is on the bus. The BAR has to be there.
    public func barAddress(_ bar: Int) -> UInt64 {
        guard let address = slot.barAddresses[bar] else { preconditionFailure("there is no BAR \(bar)") }
        return address
    }

    /// Writes the device's own memory behind a BAR of the kind `memory`.
    public func writeMemory(bar: Int, at offset: Int, _ bytes: some Collection<UInt8>) {
        let bytes = Array(bytes)
        unsafe bytes.withUnsafeBytes { unsafe memory(bar).write(at: offset, from: $0) }
    }
}
