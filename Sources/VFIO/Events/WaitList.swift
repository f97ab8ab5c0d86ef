/// The waits of tasks for one event, as part of the state of a ``WaitableEvent``.
package struct WaitList: Sendable {
    /// Whether the event is closed, so that no wait begins any more.
    package private(set) var isClosed = false
    private var waits: [EventWait] = []

    package init() {}

    /// Records a wait. Returns `false` if the event is closed.
    mutating func begin(_ wait: EventWait) -> Bool {
        if !isClosed { waits.append(wait) }
        return !isClosed
    }

    /// Removes a wait that has ended.
    mutating func forget(_ wait: EventWait) { waits.removeAll { $0 === wait } }

    /// Closes the event. Returns `false` if it was closed already.
    package mutating func close() -> Bool {
        defer { isClosed = true }
        return !isClosed
    }

    /// Removes all waits. The caller ends them without the lock, which their end takes.
    package mutating func removeAll() -> [EventWait] {
        defer { waits = [] }
        return waits
    }
}
