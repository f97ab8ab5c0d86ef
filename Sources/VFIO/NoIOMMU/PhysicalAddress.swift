/// An address in the machine's physical memory: what a device without an IOMMU puts on the bus.
///
/// It is no ``IOVA``. Nothing translates it and nothing checks it: a device that is given a wrong one writes into the memory
/// of somebody else, the kernel's included.
public struct PhysicalAddress: RawRepresentable, Sendable, Hashable {
    public var rawValue: UInt64

    @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }
    @inlinable public init(_ rawValue: UInt64) { self.rawValue = rawValue }

    /// The address some bytes further on, which has to be in the same ``PhysicalRange`` to mean anything. Traps when it
    /// leaves the 64-bit space.
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
