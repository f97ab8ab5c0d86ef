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
    /// Whether the used ring's flags tell the driver not to notify.
    var isNotificationUnwanted = false
    private var nextAvailable: UInt16 = 0
    private var nextUsed: UInt16 = 0
    private var lastID: UInt32 = 0

    /// A piece of memory that a descriptor describes.
    struct Part {
        let iova: IOVA
        let byteCount: Int
        let isWritable: Bool
    }

    /// Tells the driver whether to ring the doorbell.
    func writeFlags(_ bus: borrowing MockBus) {
        if isEnabled { bus.write(Self.bytes(isNotificationUnwanted ? 1 : 0, 2), to: IOVA(used)) }
    }

    /// The next chain of descriptors that the driver has made available; `nil` when there is none.
    mutating func next(_ bus: borrowing MockBus) -> (id: UInt32, parts: [Part])? {
        guard isEnabled else { return nil }
        let index = UInt16(Self.value(bus.read(IOVA(available &+ 2), byteCount: 2)))
        guard index != nextAvailable else { return nil }
        let slot = UInt64(nextAvailable % size)
        nextAvailable &+= 1
        let head = Self.value(bus.read(IOVA(available &+ 4 &+ slot * 2), byteCount: 2))
        var parts: [Part] = []
        var id = head
        // No chain is longer than the queue.
        for _ in 0..<size {
            let bytes = bus.read(IOVA(descriptors &+ id % UInt64(size) * 16), byteCount: 16)
            let flags = Self.value(bytes[12..<14])
            parts.append(
                Part(
                    iova: IOVA(Self.value(bytes[0..<8])), byteCount: Int(Self.value(bytes[8..<12])),
                    isWritable: flags & 2 != 0))
            guard flags & 1 != 0 else { break }
            id = Self.value(bytes[14..<16])
        }
        return (UInt32(head), parts)
    }

    /// Gives a chain back to the driver, or what the faults make of it.
    mutating func use(_ id: UInt32, byteCount: UInt32, _ faults: Set<VirtioNetFault>, _ bus: borrowing MockBus) {
        let told: UInt32 =
            if faults.contains(.usesUnknownDescriptor) {
                UInt32(size)
            } else if faults.contains(.repeatsDescriptor) {
                lastID
            } else {
                id
            }
        lastID = id
        let length: UInt32 =
            if faults.contains(.writesTooMuch) {
                1 << 20
            } else if faults.contains(.writesTooLittle) {
                11
            } else {
                byteCount
            }
        let slot = UInt64(nextUsed % size)
        bus.write(Self.bytes(UInt64(told) | UInt64(length) << 32, 8), to: IOVA(used &+ 4 &+ slot * 8))
        nextUsed &+= faults.contains(.jumpsAhead) ? 1000 : 1
        bus.write(Self.bytes(UInt64(nextUsed), 2), to: IOVA(used &+ 2))
    }

    /// Whether the driver has not asked to be spared interrupts.
    func wantsInterrupt(_ bus: borrowing MockBus) -> Bool {
        Self.value(bus.read(IOVA(available), byteCount: 2)) & 1 == 0
    }

    private static func value(_ bytes: some BidirectionalCollection<UInt8>) -> UInt64 {
        bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    private static func bytes(_ value: UInt64, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
    }
}
