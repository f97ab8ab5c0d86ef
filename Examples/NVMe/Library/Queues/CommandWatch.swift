/// Detects commands that exceed the time limit, without reading the clock for each command.
///
/// Submissions are counted. The watch periodically records the time and the count. A command that had been submitted by
/// then, and is still in flight after the time limit, is late. So a late command is detected between one and two time
/// limits after its submission.
struct CommandWatch: Sendable {
    /// The time limit of a command.
    var limit: Duration
    private var markedAt: ContinuousClock.Instant?
    private var markedCount: UInt64 = 0
    private var lookedAt: ContinuousClock.Instant?

    init(limit: Duration) { self.limit = limit }

    /// Whether it is time to look for late commands.
    func isDue(now: ContinuousClock.Instant) -> Bool { markedAt.map { now - $0 >= limit } ?? true }

    /// Returns whether a command is late. Call it when the check is due.
    ///
    /// - Parameters:
    ///   - oldest: The number of the oldest submission in flight.
    ///   - count: The number of the latest submission.
    mutating func isLate(oldest: UInt64?, count: UInt64, now: ContinuousClock.Instant) -> Bool {
        if markedAt != nil, let oldest, oldest <= markedCount { return true }
        markedAt = now
        markedCount = count
        return false
    }

    /// Whether it is time to read the controller's status register, which is a device access.
    mutating func isTimeToLook(now: ContinuousClock.Instant) -> Bool {
        if let lookedAt, now - lookedAt < limit / 8 { return false }
        lookedAt = now
        return true
    }
}
