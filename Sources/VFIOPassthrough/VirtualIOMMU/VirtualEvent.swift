internal import CVFIO
internal import VFIO

/// An event that the hardware reports for a guest's IOMMU.
public struct VirtualEvent: Sendable, Hashable {
    /// The contents of an event.
    public enum Content: Sendable, Hashable {
        /// Events were lost, since the queue was full. The sequence number is that of the last lost event.
        case lost
        /// An event record of SMMUv3: four double words. Its stream ID is the ``VirtualDevice``'s.
        case armSMMUv3(record: [UInt64])
        /// The Tegra241 virtual command queues with an error: two words, one bit per queue.
        case tegra241CMDQV(errors: [UInt64])
        /// An event of an unrecognised type.
        case other(bytes: [UInt8])
    }

    /// The number of the event in its queue: 0 to 2³¹ - 1, then from 0 again. A gap means that events were lost.
    public let sequence: UInt32
    public let content: Content

    /// Decodes the events in a buffer from the kernel; `nil` if it is inconsistent.
    static func events(
        in buffer: RequestBuffer, byteCount: Int, _ kind: VirtualEventQueue.Kind
    ) -> [VirtualEvent]? {
        let headerSize = MemoryLayout<ciommufd_vevent_header>.size
        guard byteCount >= 0, byteCount <= buffer.byteCount else { return nil }
        var events: [VirtualEvent] = []
        var offset = 0
        while offset < byteCount {
            guard byteCount - offset >= headerSize, let header = buffer.load(ciommufd_vevent_header.self, at: offset)
            else { return nil }
            offset += headerSize
            if header.flags & CIOMMU_VEVENTQ_FLAG_LOST_EVENTS != 0 {
                events.append(VirtualEvent(sequence: header.sequence, content: .lost))
                continue
            }
            guard byteCount - offset >= kind.byteCount, let content = Content(buffer, at: offset, kind) else {
                return nil
            }
            events.append(VirtualEvent(sequence: header.sequence, content: content))
            offset += kind.byteCount
        }
        return events
    }
}

extension VirtualEvent.Content {
    fileprivate init?(_ buffer: RequestBuffer, at offset: Int, _ kind: VirtualEventQueue.Kind) {
        switch kind {
        case .armSMMUv3:
            guard let event = buffer.load(ciommu_vevent_arm_smmuv3.self, at: offset) else { return nil }
            let words = event.evt
            self = .armSMMUv3(record: [words.0, words.1, words.2, words.3].map { UInt64(littleEndian: $0) })
        case .tegra241CMDQV:
            guard let event = buffer.load(ciommu_vevent_tegra241_cmdqv.self, at: offset) else { return nil }
            let words = event.lvcmdq_err_map
            self = .tegra241CMDQV(errors: [words.0, words.1].map { UInt64(littleEndian: $0) })
        case .other(_, let byteCount):
            let bytes = (offset..<offset + byteCount).compactMap { buffer.load(UInt8.self, at: $0) }
            guard bytes.count == byteCount else { return nil }
            self = .other(bytes: bytes)
        }
    }
}
