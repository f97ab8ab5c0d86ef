/// A command of a guest's SMMUv3: the two double words of its queue entry.
public struct SMMUCommand: Sendable, Hashable {
    public var first: UInt64
    public var second: UInt64

    public init(_ first: UInt64, _ second: UInt64) {
        self.first = first
        self.second = second
    }
}
