public import VFIO

/// The rings of a split virtqueue, as memory (virtio 1.2, 2.7.5 to 2.7.8). Entries are reached by running numbers, of which
/// the low bits count.
@safe @usableFromInline
struct VirtqueueRings: @unchecked Sendable {
    @usableFromInline let descriptors: RingMemory
    @usableFromInline let available: RingMemory
    @usableFromInline let used: RingMemory
    @usableFromInline let mask: Int

    /// - Parameter base: Memory of as many bytes as the layout says.
    init(_ base: UnsafeMutableRawPointer, _ layout: VirtqueueLayout) {
        descriptors = unsafe RingMemory(base)
        available = unsafe RingMemory(base + layout.availableOffset)
        used = unsafe RingMemory(base + layout.usedOffset)
        mask = layout.size - 1
    }

    /// `VIRTQ_DESC_F_WRITE`, at its place in a descriptor's second half: the device writes.
    @inlinable static var deviceWrites: UInt64 {
        @inline(__always) get { 2 << 32 }
    }

    /// Where the entry of a number is; of 32 bits, so that the compiler knows that it is no huge one.
    @inlinable @inline(__always)
    func slot(_ number: UInt32) -> Int { Int(number) & mask }

    /// Writes a descriptor: the address, and the length with the flags above it. None has a next.
    @inlinable @inline(__always)
    func setDescriptor(_ id: UInt32, _ address: UInt64, lengthAndFlags: UInt64) {
        descriptors.write64(address, at: slot(id) &* 16)
        descriptors.write64(lengthAndFlags, at: slot(id) &* 16 &+ 8)
    }

    /// Writes a descriptor's address, and leaves the rest of it.
    @inlinable @inline(__always)
    func setAddress(_ id: UInt32, _ address: UInt64) {
        descriptors.write64(address, at: slot(id) &* 16)
    }

    /// Puts a descriptor into the available ring. The device looks at it after ``publish(_:)``.
    @inlinable @inline(__always)
    func setAvailable(_ number: UInt32, _ id: UInt32) {
        available.write16(UInt16(truncatingIfNeeded: id), at: 4 &+ slot(number) &* 2)
    }

    /// Tells the device up to which number the available ring is filled.
    @inlinable @inline(__always)
    func publish(_ number: UInt32) {
        available.writeReleasing16(UInt16(truncatingIfNeeded: number), at: 2)
    }

    /// Asks the device for interrupts, or not to send any (`VIRTQ_AVAIL_F_NO_INTERRUPT`): a wish that it need not heed.
    @inlinable @inline(__always)
    func wantInterrupts(_ isWanted: Bool) { available.write16(isWanted ? 0 : 1, at: 0) }

    /// Up to which number the device has used what it was given. What it has written before is seen after this.
    @inlinable @inline(__always)
    func usedIndex() -> UInt16 { used.readAcquiring16(at: 2) }

    /// An entry of the used ring: the descriptor, and how many bytes the device says that it has written.
    @inlinable @inline(__always)
    func usedElement(_ number: UInt32) -> (id: UInt32, length: UInt32) {
        let offset = 4 &+ slot(number) &* 8
        return (used.read32(at: offset), used.read32(at: offset &+ 4))
    }

    /// The descriptor of an entry of the used ring.
    @inlinable @inline(__always)
    func usedDescriptor(_ number: UInt32) -> UInt32 { used.read32(at: 4 &+ slot(number) &* 8) }

    /// Whether the device does not need to be told of new entries (`VIRTQ_USED_F_NO_NOTIFY`).
    @inlinable @inline(__always)
    func isNotificationUnwanted() -> Bool { used.read16(at: 0) & 1 != 0 }
}
