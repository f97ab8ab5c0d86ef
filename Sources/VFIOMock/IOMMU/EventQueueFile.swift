internal import CVFIO
import SystemPackage

/// A queue of events for a virtual IOMMU (vEVENTQ).
final class EventQueueFile: IOMMUFDObject, IOMMUFDQueue {
    private let type: UInt32
    private let guest: GuestIOMMU
    let iommufd: OpenFile
    let pipe = Readiness()
    private let depth: Int
    private var events: [(sequence: UInt32, bytes: [UInt8])] = []
    /// The number of the last event that was lost for lack of room.
    private var lost: UInt32?
    private var sequence: UInt32 = 0

    init(type: UInt32, depth: Int, of guest: GuestIOMMU, iommufd: OpenFile) {
        self.type = type
        self.depth = depth
        self.guest = guest
        self.iommufd = iommufd
        super.init()
        guest.users += 1
        guest.queues[type] = self
    }

    override func destroyed() {
        guest.users -= 1
        guest.queues[type] = nil
    }

    func report(_ bytes: [UInt8]) {
        if events.count < depth {
            // An unread report of a loss gives way to a new event, whose number shows the gap.
            lost = nil
            events.append((sequence, bytes))
        } else {
            lost = sequence
        }
        sequence = (sequence + 1) & 0x7fff_ffff
        pipe.set(true)
    }

    // MARK: As a file

    var kind: MockOpenFile.Kind { .eventQueue }

    func read(into buffer: UserBuffer, at position: inout UInt64) throws(Errno) -> Int {
        let headerSize = MemoryLayout<ciommufd_vevent_header>.size
        if buffer.count < headerSize { throw .invalidArgument }
        var done = 0
        var count = 0
        defer {
            events.removeFirst(count)
            if events.isEmpty && lost == nil { pipe.set(false) }
        }
        for event in events {
            if headerSize + event.bytes.count > buffer.count - done {
                if done == 0 { throw .invalidArgument }
                return done
            }
            do throws(Errno) {
                try buffer.store(ciommufd_vevent_header(flags: 0, sequence: event.sequence), at: done)
                try buffer.store(event.bytes, at: done + headerSize)
            } catch {
                // What is stored has been delivered; the rest stays in the queue.
                if done == 0 { throw error }
                return done
            }
            done += headerSize + event.bytes.count
            count += 1
        }
        if let number = lost, headerSize <= buffer.count - done {
            try buffer.store(
                ciommufd_vevent_header(flags: CIOMMU_VEVENTQ_FLAG_LOST_EVENTS, sequence: number), at: done)
            done += headerSize
            lost = nil
        }
        return done
    }
}
