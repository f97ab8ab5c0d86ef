extension VirtioNetModel {
    /// A load from the common configuration structure (virtio 1.2, 4.1.4.3).
    func readCommon(_ offset: Int, _ width: Int) -> UInt64 {
        let queue: VirtioNetQueue? = queues.indices.contains(Int(queueSelect)) ? queues[Int(queueSelect)] : nil
        switch (offset, width) {
        case (0x00, 4): return UInt64(deviceFeatureWord)
        case (0x04, 4):
            return deviceFeatureWord < 2 ? offeredFeatures >> (UInt64(deviceFeatureWord) * 32) & 0xffff_ffff : 0
        case (0x08, 4): return UInt64(driverFeatureWord)
        case (0x0c, 4):
            return driverFeatureWord < 2 ? acceptedFeatures >> (UInt64(driverFeatureWord) * 32) & 0xffff_ffff : 0
        case (0x10, 2): return UInt64(configVector)
        case (0x12, 2): return UInt64(queues.count)
        case (0x14, 1): return UInt64(status)
        case (0x16, 2): return UInt64(queueSelect)
        case (0x18, 2): return UInt64(queue?.size ?? 0)
        case (0x1a, 2): return UInt64(queue?.vector ?? 0xffff)
        case (0x1c, 2): return queue?.isEnabled ?? false ? 1 : 0
        // Each queue has the doorbell of its number.
        case (0x1e, 2): return queue == nil ? 0 : UInt64(queueSelect)
        case (0x20, 4), (0x24, 4): return queue.map { Self.half(offset, of: $0.descriptors) } ?? 0
        case (0x28, 4), (0x2c, 4): return queue.map { Self.half(offset, of: $0.available) } ?? 0
        case (0x30, 4), (0x34, 4): return queue.map { Self.half(offset, of: $0.used) } ?? 0
        default: return 0
        }
    }

    /// A store to the common configuration structure.
    mutating func writeCommon(_ value: UInt64, _ offset: Int, _ width: Int, _ bus: borrowing MockBus) {
        let word = UInt32(truncatingIfNeeded: value)
        let short = UInt16(truncatingIfNeeded: value)
        switch (offset, width) {
        case (0x00, 4): deviceFeatureWord = word
        case (0x08, 4): driverFeatureWord = word
        case (0x0c, 4): accept(driverFeatureWord, word)
        case (0x10, 2): configVector = vector(short)
        case (0x14, 1): setStatus(UInt8(truncatingIfNeeded: value), bus)
        case (0x16, 2): queueSelect = short
        default: writeQueue(value, offset, width)
        }
    }

    private mutating func writeQueue(_ value: UInt64, _ offset: Int, _ width: Int) {
        let index = Int(queueSelect)
        guard queues.indices.contains(index) else { return }
        let short = UInt16(truncatingIfNeeded: value)
        switch (offset, width) {
        case (0x18, 2) where short > 0 && short & (short - 1) == 0 && short <= VirtioNetQueue.sizeLimit:
            queues[index].size = short
        case (0x1a, 2): queues[index].vector = vector(short)
        case (0x1c, 2) where short == 1:
            queues[index].isEnabled = true
            queues[index].isNotificationUnwanted = isNotificationUnwanted
        case (0x20, 4), (0x24, 4): Self.setHalf(offset, of: &queues[index].descriptors, value)
        case (0x28, 4), (0x2c, 4): Self.setHalf(offset, of: &queues[index].available, value)
        case (0x30, 4), (0x34, 4): Self.setHalf(offset, of: &queues[index].used, value)
        default: break
        }
    }

    /// The vector if the card has it, no vector otherwise.
    private func vector(_ vector: UInt16) -> UInt16 { Int(vector) < pci.msix?.vectors ?? 0 ? vector : 0xffff }

    private static func half(_ offset: Int, of value: UInt64) -> UInt64 {
        offset & 4 == 0 ? value & 0xffff_ffff : value >> 32
    }

    private static func setHalf(_ offset: Int, of value: inout UInt64, _ half: UInt64) {
        value =
            offset & 4 == 0 ? value & ~0xffff_ffff | half & 0xffff_ffff : value & 0xffff_ffff | half << 32
    }
}
