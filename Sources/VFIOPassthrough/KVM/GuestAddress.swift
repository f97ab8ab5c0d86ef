public import VFIO

/// A guest physical address of memory or a BAR.
public struct GuestAddress: RawRepresentable, Sendable, Hashable {
    public var rawValue: UInt64

    public init(rawValue: UInt64) { self.rawValue = rawValue }
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }

    /// The IOVA of the machine's devices for it, which is the same number.
    public var iova: IOVA { IOVA(rawValue) }
}

extension GuestAddress: Comparable {
    public static func < (left: GuestAddress, right: GuestAddress) -> Bool { left.rawValue < right.rawValue }
}

extension GuestAddress: ExpressibleByIntegerLiteral {
    public init(integerLiteral value: UInt64) { self.rawValue = value }
}

extension GuestAddress: CustomStringConvertible {
    public var description: String { rawValue.hexadecimal }
}
