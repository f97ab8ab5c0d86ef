public import VFIO

/// A virtio network device, with one queue to receive from and one to send by.
///
/// ```swift
/// let device = try Device(at: "0000:03:00.0", in: space)
/// var pool = try PacketPool(in: space, count: 1024)
/// var port = try Port(device, pool: pool)
/// var packets = [Packet](repeating: .none, count: 32)
/// var span = packets.mutableSpan
/// let count = try port.receive(into: &span, pool: &pool)
/// let sent = try port.transmit(packets.span.extracting(..<count), pool: &pool)
/// ```
/// A port and its pool belong to one thread at a time. Nothing is allocated, locked or counted for a packet.
public struct Port: ~Copyable, Sendable {
    // In the order in which they are to end: the device is reset and closed before its memory goes. Should the reset fail,
    // it is the kernel that ends the device's DMA when it closes it.
    private let common: CommonConfiguration
    @usableFromInline let doorbells: RegisterBank
    let interrupt: InterruptVector?
    private let device: Device
    @usableFromInline var receiveQueue: Virtqueue
    @usableFromInline var transmitQueue: Virtqueue
    /// What tells the pool that the port was made for from others.
    @usableFromInline let poolIdentity: UInt
    /// Keeps the pool's memory until the device has been reset, though the pool may end before.
    private let poolMemory: PoolMemory
    /// Where the device sits.
    public let address: DeviceAddress
    /// What driver and device have agreed on.
    public let features: VirtioFeatures
    /// The device's address on the network; `nil` when it tells none.
    public let macAddress: MACAddress?

    /// Resets a device and sets it up. It receives once ``receive(into:pool:)`` has been called, which gives it buffers.
    ///
    /// - Parameters:
    ///   - device: It is the port's from here on, and is closed when this fails.
    ///   - pool: Where the packets' buffers come from and go to. The port is always to be called with the same one.
    /// - Throws: What is wrong with the device; see ``VirtioNetError``.
    public init(
        _ device: consuming Device, pool: borrowing PacketPool, options: PortOptions = PortOptions()
    ) throws(VirtioNetError) {
        let port = try Port(setUp: device, pool: pool, options)
        // Only a port tells its device of its queues, so that after a failure all ends in the order of the fields.
        try port.start(usesInterrupts: options.usesInterrupts)
        self = port
    }

    /// Resets a device, and makes what it needs.
    private init(
        setUp device: consuming Device, pool: borrowing PacketPool, _ options: PortOptions
    ) throws(VirtioNetError) {
        guard pool.memory.space === device.space else { throw .poolInOtherSpace }
        let structures = try VirtioStructures(of: device)
        // It may do DMA only once it has been reset: what it did before, it did for another driver.
        try Self.updateCommand(of: device) { $0.insert(.memoryDecode) }
        let common = try CommonConfiguration(structures.common, of: device)
        try common.reset()
        try Self.updateCommand(of: device) { $0.insert(.busMaster) }
        try common.add(.acknowledge)
        try common.add(.driver)
        let features = try Self.chooseFeatures(common.offeredFeatures())
        try common.accept(features)

        let notify = structures.notify
        let receiver = try Self.makeQueue(0, notify, common, options, in: device.space)
        let transmitter = try Self.makeQueue(1, notify, common, options, in: device.space)
        // One vector for packets and for what happens to the device.
        let interrupt = try options.usesInterrupts ? Self.enableInterrupt(of: device) : nil
        let macAddress = try Self.macAddress(structures.device, features, common, of: device)
        doorbells = try device.bank(of: notify)
        self.common = common
        self.macAddress = macAddress
        self.interrupt = interrupt
        receiveQueue = receiver
        transmitQueue = transmitter
        self.features = features
        poolIdentity = pool.identity
        poolMemory = pool.share()
        address = device.address
        self.device = device
    }

    /// Gives the device its queues, and lets it go ahead.
    private func start(usesInterrupts: Bool) throws(VirtioNetError) {
        let vector = usesInterrupts ? 0 : CommonConfiguration.noVector
        try common.setConfigVector(vector)
        try common.enable(receiveQueue, vector: vector)
        try common.enable(transmitQueue, vector: CommonConfiguration.noVector)
        // The device does DMA from here on: all that was written before has to have reached it.
        try common.add(.driverOK)
        try common.check()
    }

    private static func updateCommand(
        of device: borrowing Device, _ change: (inout PCICommand) -> Void
    ) throws(VirtioNetError) {
        do throws(VFIOError) { try device.config.updateCommand(change) } catch { throw .vfio(error) }
    }

    /// What the driver takes of what is offered.
    private static func chooseFeatures(_ offered: VirtioFeatures) throws(VirtioNetError) -> VirtioFeatures {
        guard offered.contains(.version1) else { throw .missingFeatures(.version1) }
        // Without it the device would write to physical memory that is not ours, at the addresses of our buffers.
        guard offered.contains(.accessPlatform) else { throw .bypassesIOMMU }
        return offered.intersection(.known)
    }

    private static func makeQueue(
        _ index: UInt16, _ notify: VirtioStructure, _ common: borrowing CommonConfiguration, _ options: PortOptions,
        in space: AddressSpace
    ) throws(VirtioNetError) -> Virtqueue {
        let (limit, doorbell) = try common.select(index)
        guard limit & (limit - 1) == 0, limit <= 32768 else { throw .badQueueSize(queue: index, size: limit) }
        var size = 1
        while size * 2 <= min(options.queueSize, Int(limit)) { size *= 2 }
        let position = UInt64(doorbell) * UInt64(notify.doorbellStride)
        guard position + 2 <= UInt64(notify.byteCount), position & 1 == 0 else { throw .badStructure(notify) }
        return try Virtqueue(index: index, size: size, doorbell: Int(UInt64(notify.offset) + position), in: space)
    }

    private static func enableInterrupt(of device: borrowing Device) throws(VirtioNetError) -> InterruptVector {
        do throws(VFIOError) { return try device.interrupts(.msix).enable() } catch { throw .vfio(error) }
    }

    private static func macAddress(
        _ structure: VirtioStructure, _ features: VirtioFeatures, _ common: borrowing CommonConfiguration,
        of device: borrowing Device
    ) throws(VirtioNetError) -> MACAddress? {
        guard features.contains(.mac) else { return nil }
        let bank = try device.bank(of: structure)
        // A device that changes it meanwhile says so by another generation. One that never ends to is not waited for.
        for _ in 0..<16 {
            let generation = common.generation
            let address = (0..<6).reduce(0) { $0 << 8 | UInt64(bank.read8(at: Int(structure.offset) + $1)) }
            let isStable = common.generation == generation
            try common.check()
            do throws(VFIOError) { try bank.check() } catch { throw .vfio(error) }
            if isStable { return MACAddress(address) }
        }
        throw .configurationUnstable
    }

    /// The queue of received packets.
    public var receiver: Virtqueue {
        @inlinable _read { yield receiveQueue }
    }

    /// The queue of packets to be sent.
    public var transmitter: Virtqueue {
        @inlinable _read { yield transmitQueue }
    }

    /// Whether the device works.
    ///
    /// - Throws: `.needsReset` when it has met an error, and the first register access that the kernel refused.
    public func check() throws(VirtioNetError) {
        let status = common.status
        try common.check()
        do throws(VFIOError) { try doorbells.check() } catch { throw .vfio(error) }
        if status.contains(.needsReset) { throw .needsReset }
    }

    /// Resets and closes the device, gives the buffers that it had back to the pool, and frees the queues.
    ///
    /// Without it the same happens silently at the end of the port's life, except that the pool does not get its buffers
    /// back.
    ///
    /// - Throws: The first error; all is ended nevertheless.
    public consuming func close(returningBuffersTo pool: inout PacketPool) throws(VirtioNetError) {
        precondition(pool.identity == poolIdentity, "the port was made for another pool")
        var failure: VirtioNetError?
        do throws(VirtioNetError) { try common.shutDown() } catch { failure = error }
        _ = consume common
        do throws(VFIOError) { try doorbells.close() } catch { failure = failure ?? .vfio(error) }
        do throws(VFIOError) { try interrupt?.close() } catch { failure = failure ?? .vfio(error) }
        do throws(VFIOError) { try device.close() } catch { failure = failure ?? .vfio(error) }
        receiveQueue.returnBuffers(to: &pool)
        transmitQueue.returnBuffers(to: &pool)
        do throws(VFIOError) { try receiveQueue.memory.close() } catch { failure = failure ?? .vfio(error) }
        do throws(VFIOError) { try transmitQueue.memory.close() } catch { failure = failure ?? .vfio(error) }
        if let failure { throw failure }
    }
}
