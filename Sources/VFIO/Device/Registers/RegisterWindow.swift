/// The CPU's view of a region's registers: the mapped part and the region's size.
@safe
@usableFromInline
struct RegisterWindow: @unchecked Sendable {
    /// The address of the region's first byte if all of it were mapped; adding an offset in the mapped part gives its
    /// address.
    @usableFromInline let origin: UnsafeMutableRawPointer
    @usableFromInline let mappedStart: UInt
    @usableFromInline let mappedCount: UInt
    /// The size of the region in bytes.
    @usableFromInline let byteCount: Int

    init(_ mapping: RegisterMapping?, byteCount: Int) {
        if let mapping {
            unsafe origin = mapping.base - Int(mapping.area.lowerBound)
            mappedStart = UInt(mapping.area.lowerBound)
            mappedCount = UInt(mapping.area.upperBound - mapping.area.lowerBound)
        } else {
            // Never used: no offset is below a count of 0.
            unsafe origin = UnsafeMutableRawPointer(bitPattern: 1)!
            mappedStart = 0
            mappedCount = 0
        }
        self.byteCount = byteCount
    }

    /// Returns the address of a register in the mapped part; `nil` elsewhere.
    ///
    /// The mapped part begins and ends at multiples of every width, so an aligned register that begins inside also ends
    /// inside.
    @inlinable @inline(__always)
    func address(of offset: Int, width: Int) -> UnsafeMutableRawPointer? {
        precondition(offset & (width &- 1) == 0, "the offset is no multiple of the access width")
        guard UInt(bitPattern: offset) &- mappedStart < mappedCount else { return nil }
        return unsafe origin + offset
    }
}
