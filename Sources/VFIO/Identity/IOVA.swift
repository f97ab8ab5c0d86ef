/// An IO virtual address: the address of a device's DMA, which the IOMMU translates.
public struct IOVA: RawRepresentable, Sendable, Hashable {
    public var rawValue: UInt64

    @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }
    @inlinable public init(_ rawValue: UInt64) { self.rawValue = rawValue }

    /// Returns the address plus an offset in bytes. Traps on overflow.
    @inlinable public static func + (address: IOVA, byteOffset: UInt64) -> IOVA {
        IOVA(address.rawValue + byteOffset)
    }
}

extension IOVA: Comparable {
    @inlinable public static func < (left: IOVA, right: IOVA) -> Bool { left.rawValue < right.rawValue }
}

extension IOVA: ExpressibleByIntegerLiteral {
    @inlinable public init(integerLiteral value: UInt64) { self.rawValue = value }
}

extension IOVA: CustomStringConvertible {
    public var description: String { rawValue.hexadecimal }
}
