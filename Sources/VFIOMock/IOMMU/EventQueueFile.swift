internal import CVFIO
import SystemPackage

/// A queue of what the IOMMU reports for a guest (vEVENTQ).
final class EventQueueFile: ReadableQueue {
    let id: UInt32
    let type: UInt32
    let guest: GuestIOMMU
    unowned let iommufd: OpenFile
    let readiness = Readiness()
    private let depth: Int
    private var events: [(sequence: UInt32, bytes: [UInt8])] = []
    /// The number of the last event that was lost, since there was no room after the others.
    private var lost: UInt32?
    private var sequence: UInt32 = 0

    init(id: UInt32, type: UInt32, depth: Int, of guest: GuestIOMMU, iommufd: OpenFile) {
        self.id = id
        self.type = type
        self.depth = depth
        self.guest = guest
        self.iommufd = iommufd
    }

    func report(_ bytes: [UInt8]) {
        if events.count < depth {
            // The word of a loss that nobody has read gives way to what came after it: the gap in the numbers tells.
            lost = nil
            events.append((sequence, bytes))
        } else {
            lost = sequence
        }
        sequence = (sequence + 1) & 0x7fff_ffff
        readiness.set(true)
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws(Errno) -> Int {
        let headerSize = MemoryLayout<ciommufd_vevent_header>.size
        if buffer.count < headerSize { throw .invalidArgument }
        var done = 0
        func store(_ header: ciommufd_vevent_header, _ bytes: [UInt8]) {
            unsafe buffer.storeBytes(of: header, toByteOffset: done, as: ciommufd_vevent_header.self)
            for (offset, byte) in bytes.enumerated() { unsafe buffer[done + headerSize + offset] = byte }
            done += headerSize + bytes.count
        }
        while let event = events.first {
            if headerSize + event.bytes.count > buffer.count - done {
                if done == 0 { throw .invalidArgument }
                return done
            }
            store(ciommufd_vevent_header(flags: 0, sequence: event.sequence), event.bytes)
            events.removeFirst()
        }
        if let number = lost, headerSize <= buffer.count - done {
            store(ciommufd_vevent_header(flags: CIOMMU_VEVENTQ_FLAG_LOST_EVENTS, sequence: number), [])
            lost = nil
        }
        if lost == nil { readiness.set(false) }
        return done
    }
}
