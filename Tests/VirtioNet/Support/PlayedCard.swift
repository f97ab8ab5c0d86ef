import VFIO
import VirtioNet

/// A card, as far as it moves buffers from the available rings to the used ones.
struct PlayedCard {
    private var receiver: PlayedQueue
    private var transmitter: PlayedQueue
    private(set) var sentCount = 0

    /// The port has to outlive it.
    init(_ port: borrowing Port) {
        receiver = PlayedQueue(port.receiver)
        transmitter = PlayedQueue(port.transmitter)
    }

    /// Sends all that there is to send, and receives some packets without touching what is in them.
    mutating func play(receiving count: Int, length: UInt32) {
        while transmitter.use(length: 0) { sentCount += 1 }
        for _ in 0..<count where !receiver.use(length: length) { return }
    }
}

/// A queue from the device's side, by its memory.
struct PlayedQueue {
    private let base: UnsafeMutableRawPointer
    private let layout: VirtqueueLayout
    private var next: UInt16 = 0

    init(_ queue: borrowing Virtqueue) {
        base = queue.memory.unsafeBaseAddress
        layout = queue.layout
    }

    /// Uses the next buffer; `false` when there is none.
    mutating func use(length: UInt32) -> Bool {
        let available = base + layout.availableOffset
        let used = base + layout.usedOffset
        guard available.load(fromByteOffset: 2, as: UInt16.self) != next else { return false }
        let slot = Int(next) % layout.size
        let id = available.load(fromByteOffset: 4 + slot * 2, as: UInt16.self)
        used.storeBytes(of: UInt32(id), toByteOffset: 4 + slot * 8, as: UInt32.self)
        used.storeBytes(of: length, toByteOffset: 8 + slot * 8, as: UInt32.self)
        next &+= 1
        used.storeBytes(of: next, toByteOffset: 2, as: UInt16.self)
        return true
    }
}
