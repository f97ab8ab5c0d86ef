public import VFIO

/// A device's slot, which a ``MockBus`` gives access to.
protocol DeviceSlot: AnyObject {
    var address: PCIAddress { get }
    var isBusMaster: Bool { get }
    var isMSIEnabled: Bool { get }
    var isMSIXEnabled: Bool { get }
    var barAddresses: [Int: UInt64] { get }
    /// The memory of the BARs of the kind `memory`.
    var memory: [Int: MemoryObject] { get }

    func dmaRead(_ iova: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool
    func dmaWrite(_ iova: UInt64, from buffer: UnsafeRawBufferPointer) -> Bool
    func raiseMSI(_ vector: Int)
    func raiseMSIX(_ vector: Int)
    func setINTx(_ isAsserted: Bool)
    func reportError()
    func requestRelease()
}

/// A device's access to the machine: DMA, interrupts, its own memory.
///
/// It is valid only during the call that it is passed to, and cannot be copied or stored.
@safe public struct MockBus: ~Copyable {
    private let slot: any DeviceSlot

    init(_ slot: any DeviceSlot) { self.slot = slot }

    /// The address of the device.
    public var address: PCIAddress { slot.address }

    /// Whether the driver has enabled bus mastering (bit 2 of the command register). Otherwise reads return zeros,
    /// writes are dropped, no message signalled interrupt arrives, and no fault is recorded.
    public var isMaster: Bool { slot.isBusMaster }

    /// Whether MSI is enabled. A device with MSI enabled does not use its pin.
    public var isMSIEnabled: Bool { slot.isMSIEnabled }

    /// Whether MSI-X is enabled.
    public var isMSIXEnabled: Bool { slot.isMSIXEnabled }

    /// Reads memory or another device by DMA into a buffer. What cannot be read is zero.
    ///
    /// - Returns: Whether all of it was read.
    @discardableResult
    public func read(_ iova: IOVA, into buffer: UnsafeMutableRawBufferPointer) -> Bool {
        unsafe slot.dmaRead(iova.rawValue, into: buffer)
    }

    /// Reads memory or another device by DMA. What cannot be read is zero.
    public func read(_ iova: IOVA, byteCount: Int) -> [UInt8] {
        unsafe [UInt8](unsafeUninitializedCapacity: byteCount) { buffer, count in
            _ = unsafe slot.dmaRead(iova.rawValue, into: UnsafeMutableRawBufferPointer(buffer))
            count = byteCount
        }
    }

    /// Reads a little-endian integer by DMA. What cannot be read is zero.
    public func read<Value: FixedWidthInteger & UnsignedInteger>(_ iova: IOVA, as type: Value.Type) -> Value {
        Value(littleEndianBytes: read(iova, byteCount: MemoryLayout<Value>.size))
    }

    /// Writes a little-endian integer by DMA. What the IOMMU refuses is dropped.
    ///
    /// - Returns: Whether all of it was written.
    @discardableResult
    public func write<Value: FixedWidthInteger & UnsignedInteger>(_ value: Value, to iova: IOVA) -> Bool {
        write(value.littleEndianBytes, to: iova)
    }

    /// Writes a buffer to memory or another device by DMA. What the IOMMU refuses is dropped.
    ///
    /// - Returns: Whether all of it was written.
    @discardableResult
    public func write(_ buffer: UnsafeRawBufferPointer, to iova: IOVA) -> Bool {
        unsafe slot.dmaWrite(iova.rawValue, from: buffer)
    }

    /// Writes bytes to memory or another device by DMA. What the IOMMU refuses is dropped.
    ///
    /// - Returns: Whether all of it was written.
    @discardableResult
    public func write(_ bytes: some Collection<UInt8>, to iova: IOVA) -> Bool {
        let bytes = Array(bytes)
        return unsafe bytes.withUnsafeBytes { unsafe slot.dmaWrite(iova.rawValue, from: $0) }
    }

    /// Sends an MSI. It is lost while MSI or bus mastering is off, since the message is a memory write. (A mediated
    /// device's message is not one, and always arrives.)
    public func raiseMSI(vector: Int = 0) { slot.raiseMSI(vector) }

    /// Sends an MSI-X interrupt. It is lost while MSI-X or bus mastering is off.
    public func raiseMSIX(vector: Int) { slot.raiseMSIX(vector) }

    /// Sets the level of the interrupt pin. Of the command register only the interrupt disable bit masks it.
    public func setINTx(_ isAsserted: Bool) { slot.setINTx(isAsserted) }

    /// Reports an uncorrectable error of the device, as AER or a platform's error handling does
    /// (`InterruptIndex.error`).
    public func reportError() { slot.reportError() }

    /// Asks the program that has the device open to close it (`InterruptIndex.request`), as an unbind or an unplug
    /// does, at most every 10 seconds.
    public func requestRelease() { slot.requestRelease() }

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

    /// Reads a little-endian integer of the device's own memory behind a BAR of the kind `memory`.
    public func readMemory<Value: FixedWidthInteger & UnsignedInteger>(
        bar: Int, at offset: Int, as type: Value.Type
    ) -> Value {
        Value(littleEndianBytes: readMemory(bar: bar, at: offset, byteCount: MemoryLayout<Value>.size))
    }

    /// Writes a little-endian integer to the device's own memory behind a BAR of the kind `memory`.
    public func writeMemory<Value: FixedWidthInteger & UnsignedInteger>(bar: Int, at offset: Int, _ value: Value) {
        writeMemory(bar: bar, at: offset, value.littleEndianBytes)
    }

    /// Reads the device's own memory behind a BAR of the kind `memory`, into a buffer.
    public func readMemory(bar: Int, at offset: Int, into buffer: UnsafeMutableRawBufferPointer) {
        unsafe memory(bar).read(at: offset, into: buffer)
    }

    /// Writes the device's own memory behind a BAR of the kind `memory`, from a buffer.
    public func writeMemory(bar: Int, at offset: Int, from buffer: UnsafeRawBufferPointer) {
        unsafe memory(bar).write(at: offset, from: buffer)
    }

    /// Returns the address of a BAR on the bus. The BAR must exist.
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
