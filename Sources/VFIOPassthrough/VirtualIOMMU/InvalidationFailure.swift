public import VFIO

/// The error of an invalidation whose entries were not all handled.
public struct InvalidationFailure: Error, Sendable, Hashable, CustomStringConvertible {
    /// The number of entries that were handled, which is the index of the failed one.
    public let handledCount: Int
    /// The error of that entry, or of the whole request.
    public let cause: VFIOError

    public var description: String { "\(cause) (\(handledCount) entries were done)" }
}
