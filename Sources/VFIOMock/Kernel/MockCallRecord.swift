/// A recorded call of ``MockMachine/calls``.
public struct MockCallRecord: Sendable, Hashable {
    public let call: MockCall
    /// The request number of an `ioctl`.
    public let request: UInt?

    public init(_ call: MockCall, request: UInt? = nil) {
        self.call = call
        self.request = request
    }
}
