/// Where an address leads, and how far in the same direction.
struct Translation {
    let isReadable: Bool
    let isWritable: Bool
    let backing: PinnedMemory.Backing
    /// Bytes from the start of the backing.
    let offset: UInt64
    /// Bytes from there to the end of the backing.
    let byteCount: UInt64
}
