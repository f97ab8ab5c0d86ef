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
