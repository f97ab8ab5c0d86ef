import VFIO

/// The common configuration structure (virtio 1.2, 4.1.4.3): status, features, and the set-up of queues.
///
/// At the end of its life the device is reset, so that no DMA of it is under way when its memory goes.
struct CommonConfiguration: ~Copyable, Sendable {
    private let bank: RegisterBank
    private let offset: Int
    private var isLive = true

    /// No vector: `VIRTIO_MSI_NO_VECTOR`.
    static let noVector: UInt16 = 0xffff

    private enum Field {
        static let deviceFeatureSelect = 0x00
        static let deviceFeature = 0x04
        static let driverFeatureSelect = 0x08
        static let driverFeature = 0x0c
        static let configVector = 0x10
        static let queueCount = 0x12
        static let status = 0x14
        static let generation = 0x15
        static let queueSelect = 0x16
        static let queueSize = 0x18
        static let queueVector = 0x1a
        static let queueEnable = 0x1c
        static let queueDoorbell = 0x1e
        static let queueDescriptors = 0x20
        static let queueAvailable = 0x28
        static let queueUsed = 0x30
    }

    init(_ structure: VirtioStructure, of device: borrowing Device) throws(VirtioNetError) {
        bank = try device.bank(of: structure)
        offset = Int(structure.offset)
    }

    deinit { if isLive { try? Self.reset(bank, offset) } }

    /// Resets the device, for good.
    mutating func shutDown() throws(VirtioNetError) {
        isLive = false
        try Self.reset(bank, offset)
    }

    /// Throws the first access that the kernel refused.
    func check() throws(VirtioNetError) {
        try rethrowing { () throws(VFIOError) in try bank.check() }
    }

    // MARK: Status

    var status: DeviceStatus { DeviceStatus(rawValue: bank.read8(at: offset + Field.status)) }

    /// Tells the device that the driver has come further.
    func add(_ step: DeviceStatus) {
        bank.write8(status.union(step).rawValue, at: offset + Field.status)
    }

    /// Resets the device: it has done so once its status reads as 0.
    func reset() throws(VirtioNetError) { try Self.reset(bank, offset) }

    private static func reset(_ bank: borrowing RegisterBank, _ offset: Int) throws(VirtioNetError) {
        bank.write8(0, at: offset + Field.status)
        let deadline = ContinuousClock.now + .seconds(2)
        while bank.read8(at: offset + Field.status) != 0 {
            do throws(VFIOError) { try bank.check() } catch { throw .vfio(error) }
            guard ContinuousClock.now < deadline else { throw .resetTimedOut }
        }
    }

    /// Changes whenever the device's own configuration does.
    var generation: UInt8 { bank.read8(at: offset + Field.generation) }

    // MARK: Features

    /// What the device offers.
    func offeredFeatures() -> VirtioFeatures {
        var features: UInt64 = 0
        for word in 0..<2 {
            bank.write32(UInt32(word), at: offset + Field.deviceFeatureSelect)
            features |= UInt64(bank.read32(at: offset + Field.deviceFeature)) << UInt64(word * 32)
        }
        return VirtioFeatures(rawValue: features)
    }

    /// Tells the device what the driver has chosen, and asks whether it agrees.
    func accept(_ features: VirtioFeatures) throws(VirtioNetError) {
        for word in 0..<2 {
            bank.write32(UInt32(word), at: offset + Field.driverFeatureSelect)
            bank.write32(
                UInt32(truncatingIfNeeded: features.rawValue >> UInt64(word * 32)), at: offset + Field.driverFeature)
        }
        add(.featuresOK)
        guard status.contains(.featuresOK) else { throw .featuresRefused(features) }
    }

    // MARK: Queues

    /// The largest size of a queue, and where its doorbell is, counted in doorbells.
    ///
    /// - Throws: `.missingQueue`.
    func select(_ queue: UInt16) throws(VirtioNetError) -> (size: UInt16, doorbell: UInt16) {
        guard queue < bank.read16(at: offset + Field.queueCount) else { throw .missingQueue(queue) }
        bank.write16(queue, at: offset + Field.queueSelect)
        let size = bank.read16(at: offset + Field.queueSize)
        guard size > 0 else { throw .missingQueue(queue) }
        return (size, bank.read16(at: offset + Field.queueDoorbell))
    }

    /// Sets a queue up and switches it on.
    func enable(_ queue: borrowing Virtqueue, vector: UInt16) throws(VirtioNetError) {
        bank.write16(queue.index, at: offset + Field.queueSelect)
        bank.write16(UInt16(queue.layout.size), at: offset + Field.queueSize)
        bank.write16(vector, at: offset + Field.queueVector)
        guard bank.read16(at: offset + Field.queueVector) == vector else {
            throw .vectorRefused(queue: queue.index)
        }
        let start = queue.memory.iova.rawValue
        writeAddress(start, at: Field.queueDescriptors)
        writeAddress(start + UInt64(queue.layout.availableOffset), at: Field.queueAvailable)
        writeAddress(start + UInt64(queue.layout.usedOffset), at: Field.queueUsed)
        bank.write16(1, at: offset + Field.queueEnable)
    }

    /// Which vector tells of changes of the device's configuration and status.
    func setConfigVector(_ vector: UInt16) throws(VirtioNetError) {
        bank.write16(vector, at: offset + Field.configVector)
        guard bank.read16(at: offset + Field.configVector) == vector else {
            throw .vectorRefused(queue: nil)
        }
    }

    /// The specification has addresses written as two halves.
    private func writeAddress(_ address: UInt64, at field: Int) {
        bank.write32(UInt32(truncatingIfNeeded: address), at: offset + field)
        bank.write32(UInt32(truncatingIfNeeded: address >> 32), at: offset + field + 4)
    }
}

extension Device {
    /// The registers of the BAR that a structure is in.
    borrowing func bank(of structure: VirtioStructure) throws(VirtioNetError) -> RegisterBank {
        guard let bar = RegionIndex.bar(Int(structure.bar)) else { throw .badStructure(structure) }
        do throws(VFIOError) { return try registers(of: bar) } catch { throw .vfio(error) }
    }
}
