import VFIO

/// A split virtqueue from the device's side.
struct VirtioNetQueue: Sendable {
    static let sizeLimit: UInt16 = 256

    var size = Self.sizeLimit
    var vector: UInt16 = 0xffff
    var isEnabled = false
    var descriptors: UInt64 = 0
    var available: UInt64 = 0
    var used: UInt64 = 0
    /// Whether the flags of the used ring suppress notifications.
    var isNotificationUnwanted = false
    private var nextAvailable: UInt16 = 0
    private var nextUsed: UInt16 = 0
    private var lastID: UInt32 = 0

    struct Part {
        let iova: IOVA
        let byteCount: Int
        let isWritable: Bool
    }

    /// Writes the flags of the used ring: whether the driver must notify.
    func writeFlags(_ bus: borrowing MockBus) {
        if isEnabled { bus.write([isNotificationUnwanted ? 1 : 0, 0], to: IOVA(used)) }
    }

    /// Returns the next available chain of descriptors.
    mutating func next(_ bus: borrowing MockBus) -> (id: UInt32, parts: [Part])? {
        guard isEnabled else { return nil }
        let index = UInt16(bus.read(IOVA(available &+ 2), byteCount: 2).integer(at: 0, 2))
        guard index != nextAvailable else { return nil }
        let slot = UInt64(nextAvailable % size)
        nextAvailable &+= 1
        let head = bus.read(IOVA(available &+ 4 &+ slot * 2), byteCount: 2).integer(at: 0, 2)
        var parts: [Part] = []
        var id = head
        // A chain is at most as long as the queue.
        for _ in 0..<size {
            let bytes = bus.read(IOVA(descriptors &+ id % UInt64(size) * 16), byteCount: 16)
            let flags = bytes.integer(at: 12, 2)
            parts.append(
                Part(
                    iova: IOVA(bytes.integer(at: 0, 8)), byteCount: Int(bytes.integer(at: 8, 4)),
                    isWritable: flags & 2 != 0))
            guard flags & 1 != 0 else { break }
            id = bytes.integer(at: 14, 2)
        }
        return (UInt32(head), parts)
    }

    /// Returns a chain to the driver, subject to the faults.
    mutating func use(_ id: UInt32, byteCount: UInt32, _ faults: Set<VirtioNetFault>, _ bus: borrowing MockBus) {
        var (reported, length) = (id, byteCount)
        if faults.contains(.repeatsDescriptor) { reported = lastID }
        if faults.contains(.usesUnknownDescriptor) { reported = UInt32(size) }
        if faults.contains(.writesTooLittle) { length = 11 }
        if faults.contains(.writesTooMuch) { length = 1 << 20 }
        lastID = id
        let slot = UInt64(nextUsed % size)
        bus.write(reported.littleEndianBytes + length.littleEndianBytes, to: IOVA(used &+ 4 &+ slot * 8))
        nextUsed &+= faults.contains(.jumpsAhead) ? 1000 : 1
        bus.write(nextUsed.littleEndianBytes, to: IOVA(used &+ 2))
    }

    /// Whether the driver has not suppressed interrupts.
    func wantsInterrupt(_ bus: borrowing MockBus) -> Bool {
        bus.read(IOVA(available), byteCount: 2)[0] & 1 == 0
    }
}
