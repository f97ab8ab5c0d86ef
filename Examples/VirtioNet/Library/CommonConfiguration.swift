import Synchronization
import VFIO

/// The common configuration structure (virtio 1.2, 4.1.4.3): status, features, and the set-up of queues.
///
/// The device is reset when this value is destroyed, so that its DMA has ended before its memory is freed.
struct CommonConfiguration: ~Copyable, Sendable {
    private let registers: CommonRegisters

    /// No vector: `VIRTIO_MSI_NO_VECTOR`.
    static let noVector: UInt16 = 0xffff

    enum Field {
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
        registers = CommonRegisters(try device.bank(of: structure), at: Int(structure.offset), device.config)
    }

    /// A reference to the registers, for whoever ends the device.
    func share() -> CommonRegisters { registers }

    /// Throws the first error of a register access.
    func check() throws(VirtioNetError) {
        try rethrowing { () throws(VFIOError) in try registers.bank.check() }
    }

    // MARK: Status

    var status: DeviceStatus { DeviceStatus(rawValue: registers.bank.read8(at: registers.offset + Field.status)) }

    /// Sets a further bit of the device status.
    func add(_ step: DeviceStatus) throws(VirtioNetError) {
        let sum = status.union(step)
        // A refused read does not return a status, and the device must not continue if earlier writes were lost.
        try check()
        registers.bank.write8(sum.rawValue, at: registers.offset + Field.status)
    }

    /// Resets the device.
    func reset() throws(VirtioNetError) { try registers.reset() }

    /// Changes whenever the device's own configuration does.
    var generation: UInt8 { registers.bank.read8(at: registers.offset + Field.generation) }

    // MARK: Features

    /// Returns the features that the device offers.
    func offeredFeatures() throws(VirtioNetError) -> VirtioFeatures {
        var features: UInt64 = 0
        for word in 0..<2 {
            registers.bank.write32(UInt32(word), at: registers.offset + Field.deviceFeatureSelect)
            features |= UInt64(registers.bank.read32(at: registers.offset + Field.deviceFeature)) << UInt64(word * 32)
        }
        try check()
        return VirtioFeatures(rawValue: features)
    }

    /// Writes the accepted features, and checks that the device agrees.
    func accept(_ features: VirtioFeatures) throws(VirtioNetError) {
        for word in 0..<2 {
            registers.bank.write32(UInt32(word), at: registers.offset + Field.driverFeatureSelect)
            registers.bank.write32(
                UInt32(truncatingIfNeeded: features.rawValue >> UInt64(word * 32)),
                at: registers.offset + Field.driverFeature)
        }
        try add(.featuresOK)
        let answer = status
        try check()
        guard answer.contains(.featuresOK) else { throw .featuresRefused(features) }
    }

    // MARK: Queues

    /// Returns the maximum size of a queue, and the index of its doorbell.
    ///
    /// - Throws: `.missingQueue`.
    func select(_ queue: UInt16) throws(VirtioNetError) -> (size: UInt16, doorbell: UInt16) {
        let count = registers.bank.read16(at: registers.offset + Field.queueCount)
        registers.bank.write16(queue, at: registers.offset + Field.queueSelect)
        let size = registers.bank.read16(at: registers.offset + Field.queueSize)
        let doorbell = registers.bank.read16(at: registers.offset + Field.queueDoorbell)
        try check()
        guard queue < count, size > 0 else { throw .missingQueue(queue) }
        return (size, doorbell)
    }

    /// Sets up and enables a queue.
    func enable(_ queue: borrowing Virtqueue, vector: UInt16) throws(VirtioNetError) {
        registers.bank.write16(queue.index, at: registers.offset + Field.queueSelect)
        registers.bank.write16(UInt16(queue.layout.size), at: registers.offset + Field.queueSize)
        registers.bank.write16(vector, at: registers.offset + Field.queueVector)
        let answer = registers.bank.read16(at: registers.offset + Field.queueVector)
        try check()
        guard answer == vector else { throw .vectorRefused(queue: queue.index) }
        let start = queue.memory.iova.rawValue
        writeAddress(start, at: Field.queueDescriptors)
        writeAddress(start + UInt64(queue.layout.availableOffset), at: Field.queueAvailable)
        writeAddress(start + UInt64(queue.layout.usedOffset), at: Field.queueUsed)
        // If a write of the addresses failed, the device would access wrong memory.
        try check()
        registers.bank.write16(1, at: registers.offset + Field.queueEnable)
    }

    /// Sets the vector for changes of the device's configuration and status.
    func setConfigVector(_ vector: UInt16) throws(VirtioNetError) {
        registers.bank.write16(vector, at: registers.offset + Field.configVector)
        let answer = registers.bank.read16(at: registers.offset + Field.configVector)
        try check()
        guard answer == vector else { throw .vectorRefused(queue: nil) }
    }

    /// The specification requires addresses to be written as two halves.
    private func writeAddress(_ address: UInt64, at field: Int) {
        registers.bank.write32(UInt32(truncatingIfNeeded: address), at: registers.offset + field)
        registers.bank.write32(UInt32(truncatingIfNeeded: address >> 32), at: registers.offset + field + 4)
    }
}

extension Device {
    /// The register bank of the BAR that contains a structure.
    borrowing func bank(of structure: VirtioStructure) throws(VirtioNetError) -> RegisterBank {
        guard let bar = RegionIndex.bar(Int(structure.bar)) else { throw .badStructure(structure) }
        do throws(VFIOError) { return try makeRegisterBank(of: bar) } catch { throw .vfio(error) }
    }
}
