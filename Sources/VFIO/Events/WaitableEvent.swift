internal import SystemPackage

/// A descriptor that becomes readable, and that tasks may wait for until it is closed.
protocol WaitableEvent: AnyObject, Sendable {
    /// What is watched. Stays open for as long as a wait is begun.
    var event: FileDescriptor { get }

    /// Notes a wait, to be ended when the event is over. `false` when it is.
    func begin(_ wait: EventWait) -> Bool

    /// Forgets a wait that has ended.
    func forget(_ wait: EventWait)

    /// A wait that was begun watches the descriptor no more.
    func letGo()
}
