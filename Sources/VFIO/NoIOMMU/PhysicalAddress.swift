/// An address in the machine's physical memory: the address of a DMA without an IOMMU.
///
/// It is not an ``IOVA``: it is neither translated nor checked, and a device with a wrong address overwrites memory of
/// other processes or of the kernel.
public struct PhysicalAddress: RawRepresentable, Sendable, Hashable {
    public var rawValue: UInt64

    @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }
    @inlinable public init(_ rawValue: UInt64) { self.rawValue = rawValue }

    /// Returns the address plus an offset in bytes; valid only within the same ``PhysicalRange``. Traps on overflow.
    @inlinable public static func + (address: PhysicalAddress, byteOffset: UInt64) -> PhysicalAddress {
        PhysicalAddress(address.rawValue + byteOffset)
    }
}

extension PhysicalAddress: Comparable {
    @inlinable public static func < (left: PhysicalAddress, right: PhysicalAddress) -> Bool {
        left.rawValue < right.rawValue
    }
}

extension PhysicalAddress: CustomStringConvertible {
    public var description: String { rawValue.hexadecimal }
}
