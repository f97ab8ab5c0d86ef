public import VFIO

/// A virtio network device, with one receive queue and one transmit queue.
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
/// A port and its pool must be used by one thread at a time. There is no allocation, lock or reference count for a
/// packet.
public struct Port: ~Copyable, Sendable {
    // In the order of destruction: the device is reset and closed before its memory is freed. If the reset fails, the
    // kernel ends the device's DMA when it closes the device, unless somebody else keeps it open.
    private let common: CommonConfiguration
    @usableFromInline let doorbells: RegisterBank
    let interrupt: InterruptVector?
    private let device: PortDevice
    @usableFromInline var receiveQueue: Virtqueue
    @usableFromInline var transmitQueue: Virtqueue
    /// Identifies the port's pool.
    @usableFromInline let poolIdentity: UInt
    /// Keeps the pool's memory until the device has been reset, even if the pool has been closed before.
    private let poolMemory: PoolMemory
    /// The device's address.
    public let address: DeviceAddress
    /// The negotiated features.
    public let features: VirtioFeatures
    /// The device's Ethernet address; `nil` when it does not report one.
    public let macAddress: MACAddress?

    /// Resets a device and sets it up. It can receive after the first call of ``receive(into:pool:)``, which gives it
    /// buffers.
    ///
    /// - Parameters:
    ///   - device: The device. The port takes ownership of it, and closes it on errors.
    ///   - pool: The pool of the packets' buffers. The port must always be called with the same pool.
    /// - Throws: See ``VirtioNetError``.
    public init(
        _ device: consuming Device, pool: borrowing PacketPool, options: PortOptions = PortOptions()
    ) throws(VirtioNetError) {
        let port = try Port(setUp: device, pool: pool, options)
        // Only an initialised port gives the device its queues, so that the stored properties are destroyed in order on
        // errors.
        try port.start(usesInterrupts: options.usesInterrupts)
        self = port
    }

    /// Resets a device, and allocates its resources.
    private init(
        setUp device: consuming Device, pool: borrowing PacketPool, _ options: PortOptions
    ) throws(VirtioNetError) {
        guard pool.memory.space === device.space else { throw .poolInOtherSpace }
        let structures = try VirtioStructures(of: device)
        // Its structures may be in BARs of both kinds. DMA is enabled only after the reset, because earlier DMA belongs to
        // another driver.
        try Self.updateCommand(of: device) { $0.formUnion([.ioDecode, .memoryDecode]) }
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
        // One vector for packets and for configuration changes.
        let interrupt = try options.usesInterrupts ? Self.enableInterrupt(of: device) : nil
        let macAddress = try Self.macAddress(structures, features, common, of: device)
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
        self.device = PortDevice(
            device, self.common.share(), using: [poolMemory, receiveQueue.lease, transmitQueue.lease])
    }

    /// Gives the device its queues, and starts it.
    private func start(usesInterrupts: Bool) throws(VirtioNetError) {
        let vector = usesInterrupts ? 0 : CommonConfiguration.noVector
        try common.setConfigVector(vector)
        try common.enable(receiveQueue, vector: vector)
        try common.enable(transmitQueue, vector: CommonConfiguration.noVector)
        // The device may start DMA from here on, so all earlier writes must have reached it.
        try common.add(.driverOK)
        try common.check()
    }

    private static func updateCommand(
        of device: borrowing Device, _ change: (inout PCICommand) -> Void
    ) throws(VirtioNetError) {
        do throws(VFIOError) { try device.config.updateCommand(change) } catch { throw .vfio(error) }
    }

    /// Chooses the features to accept.
    private static func chooseFeatures(_ offered: VirtioFeatures) throws(VirtioNetError) -> VirtioFeatures {
        guard offered.contains(.version1) else { throw .missingFeatures(.version1) }
        // Without this feature the device would use our IOVAs as physical addresses.
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
        _ structures: VirtioStructures, _ features: VirtioFeatures, _ common: borrowing CommonConfiguration,
        of device: borrowing Device
    ) throws(VirtioNetError) -> MACAddress? {
        guard features.contains(.mac) else { return nil }
        let structure = try structures.configuration(of: device)
        let bank = try device.bank(of: structure)
        // The generation changes when the device changes its configuration during the read. The number of attempts is
        // limited.
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

    /// The receive queue.
    public var receiver: Virtqueue {
        @inlinable _read { yield receiveQueue }
    }

    /// The transmit queue.
    public var transmitter: Virtqueue {
        @inlinable _read { yield transmitQueue }
    }

    /// Checks that the device works.
    ///
    /// - Throws: `.needsReset` when the device has met an error, and the first error of a register access.
    public func check() throws(VirtioNetError) {
        let status = common.status
        try common.check()
        do throws(VFIOError) { try doorbells.check() } catch { throw .vfio(error) }
        if status.contains(.needsReset) { throw .needsReset }
    }

    /// Resets and closes the device, returns its buffers to the pool, and frees the queues.
    ///
    /// Deinitialization does the same, except that it ignores errors and does not return the buffers.
    ///
    /// - Throws: The first error; everything is closed anyway. `.notStopped` when the device may still access its queues
    ///   and buffers: then these are not returned, and the memory of both is never freed.
    public consuming func close(returningBuffersTo pool: inout PacketPool) throws(VirtioNetError) {
        precondition(pool.identity == poolIdentity, "the port was made for another pool")
        let device = device
        var failure = device.stop()
        _ = consume common
        do throws(VFIOError) { try doorbells.close() } catch { failure = failure ?? .vfio(error) }
        do throws(VFIOError) { try interrupt?.close() } catch { failure = failure ?? .vfio(error) }
        do throws(VFIOError) {
            try device.close()
        } catch  where error.code == .inUse && !device.isStopped {
            throw .notStopped(failure.map { "\($0)" } ?? "\(error)")
        } catch { failure = failure ?? .vfio(error) }
        receiveQueue.returnBuffers(to: &pool)
        transmitQueue.returnBuffers(to: &pool)
        do throws(VFIOError) { try receiveQueue.lease.close() } catch { failure = failure ?? .vfio(error) }
        do throws(VFIOError) { try transmitQueue.lease.close() } catch { failure = failure ?? .vfio(error) }
        if let failure { throw failure }
    }
}
