public import VFIO

/// Why not all entries of an invalidation were done.
public struct InvalidationFailure: Error, Sendable, Hashable, CustomStringConvertible {
    /// How many entries were done: the index of the one that was not.
    public let handledCount: Int
    /// What was wrong with that one, or with all of them.
    public let cause: VFIOError

    public var description: String { "\(cause) (\(handledCount) entries were done)" }
}
