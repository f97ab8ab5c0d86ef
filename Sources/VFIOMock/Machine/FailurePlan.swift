import SystemPackage

/// A failure that a test has asked for.
struct FailurePlan {
    let call: MockCall
    let errno: Errno
    let request: UInt?
    /// How many matching calls still pass before the first one fails.
    var skipping: Int
    /// How many fail then.
    var count: Int

    /// Whether a call is to fail, counting it.
    mutating func takes(_ call: MockCall, request: UInt?) -> Bool {
        guard call == self.call, self.request == nil || self.request == request, count > 0 else { return false }
        if skipping > 0 {
            skipping -= 1
            return false
        }
        count -= 1
        return true
    }
}
