public import VFIO

/// The rings of a split virtqueue in memory (virtio 1.2, 2.7.5 to 2.7.8). Entries have running numbers, whose low bits
/// are the index.
@safe @usableFromInline
struct VirtqueueRings: @unchecked Sendable {
    @usableFromInline let descriptors: RingMemory
    @usableFromInline let available: RingMemory
    @usableFromInline let used: RingMemory
    @usableFromInline let mask: Int

    /// - Parameter base: Memory of the size of the layout.
    init(_ base: UnsafeMutableRawPointer, _ layout: VirtqueueLayout) {
        descriptors = unsafe RingMemory(base)
        available = unsafe RingMemory(base + layout.availableOffset)
        used = unsafe RingMemory(base + layout.usedOffset)
        mask = layout.size - 1
    }

    /// `VIRTQ_DESC_F_WRITE` at its position in a descriptor's second half: the device writes.
    @inlinable static var deviceWrites: UInt64 {
        @inline(__always) get { 2 << 32 }
    }

    /// The index of an entry. It has 32 bits, so that the compiler knows its range.
    @inlinable @inline(__always)
    func slot(_ number: UInt32) -> Int { Int(number) & mask }

    /// Writes a descriptor: the address, and the length with the flags above it. Descriptors are not chained.
    @inlinable @inline(__always)
    func setDescriptor(_ id: UInt32, _ address: UInt64, lengthAndFlags: UInt64) {
        descriptors.write64(address, at: slot(id) &* 16)
        descriptors.write64(lengthAndFlags, at: slot(id) &* 16 &+ 8)
    }

    /// Writes a descriptor's address only.
    @inlinable @inline(__always)
    func setAddress(_ id: UInt32, _ address: UInt64) {
        descriptors.write64(address, at: slot(id) &* 16)
    }

    /// Writes a descriptor to the available ring. The device reads it after ``publish(_:)``.
    @inlinable @inline(__always)
    func setAvailable(_ number: UInt32, _ id: UInt32) {
        available.write16(UInt16(truncatingIfNeeded: id), at: 4 &+ slot(number) &* 2)
    }

    /// Writes the available index.
    @inlinable @inline(__always)
    func publish(_ number: UInt32) {
        available.writeReleasing16(UInt16(truncatingIfNeeded: number), at: 2)
    }

    /// Enables or disables interrupts (`VIRTQ_AVAIL_F_NO_INTERRUPT`), which is a hint to the device.
    @inlinable @inline(__always)
    func wantInterrupts(_ isWanted: Bool) { available.write16(isWanted ? 0 : 1, at: 0) }

    /// The used index. Later reads see what the device has written before it.
    @inlinable @inline(__always)
    func usedIndex() -> UInt16 { used.readAcquiring16(at: 2) }

    /// An entry of the used ring: the descriptor, and the number of bytes that the device reports as written.
    @inlinable @inline(__always)
    func usedElement(_ number: UInt32) -> (id: UInt32, length: UInt32) {
        let offset = 4 &+ slot(number) &* 8
        return (used.read32(at: offset), used.read32(at: offset &+ 4))
    }

    /// The descriptor of an entry of the used ring.
    @inlinable @inline(__always)
    func usedDescriptor(_ number: UInt32) -> UInt32 { used.read32(at: 4 &+ slot(number) &* 8) }

    /// Whether the device needs no notification of new entries (`VIRTQ_USED_F_NO_NOTIFY`).
    @inlinable @inline(__always)
    func isNotificationUnwanted() -> Bool { used.read16(at: 0) & 1 != 0 }
}
