/// Finds commands that take too long without looking at the clock for each of them.
///
/// Submissions are counted. Now and then the watch notes the time and the count; a command that was counted then, and is
/// still in flight when the time limit has passed since, is late. So a late command is found between one and two time
/// limits after its submission.
struct CommandWatch: Sendable {
    /// How long a command may take.
    var limit: Duration
    private var markedAt: ContinuousClock.Instant?
    private var markedCount: UInt64 = 0
    private var lookedAt: ContinuousClock.Instant?

    init(limit: Duration) { self.limit = limit }

    /// Whether it is time to look for late commands.
    func isDue(now: ContinuousClock.Instant) -> Bool { markedAt.map { now - $0 >= limit } ?? true }

    /// Whether a command is late. To be asked when it is due.
    ///
    /// - Parameters:
    ///   - oldest: The number of the oldest submission in flight.
    ///   - count: The number of the youngest submission.
    mutating func isLate(oldest: UInt64?, count: UInt64, now: ContinuousClock.Instant) -> Bool {
        if markedAt != nil, let oldest, oldest <= markedCount { return true }
        markedAt = now
        markedCount = count
        return false
    }

    /// Whether it is time to look at the controller's status register, which costs an access to the device.
    mutating func isTimeToLook(now: ContinuousClock.Instant) -> Bool {
        if let lookedAt, now - lookedAt < limit / 8 { return false }
        lookedAt = now
        return true
    }
}
