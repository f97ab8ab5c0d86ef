public import SystemPackage

/// Waits for any of several interrupts and other events at once.
///
/// ```swift
/// enum Source { case queue(Int), device }
/// let events = try EventSet<Source>()
/// for queue in 1...4 { try events.add(queue, of: vectors, as: .queue(queue)) }
/// try events.add(watch, as: .device)
/// while true {
///     for source in try events.wait() {
///         switch source {
///         case .queue(let number): if let count = try vectors.poll(number) { … }
///         case .device: if let event = try watch.poll() { … }
///         }
///     }
/// }
/// ```
/// The set only tells which events are there. Each is there until it has been taken, by its own `poll()`.
public struct EventSet<Name: Hashable & Sendable>: ~Copyable, Sendable {
    let core: EventSetCore<Name>

    /// Makes an empty set.
    ///
    /// - Parameter kernel: What the set waits with.
    /// - Throws: `.kernel` if the process has too many descriptors.
    public init(kernel: any Kernel = HostKernel()) throws(VFIOError) {
        core = try EventSetCore(kernel)
    }

    deinit { core.close() }

    /// Adds a file that becomes readable, such as a timer, a socket, or the event of another object of this library.
    ///
    /// - Parameters:
    ///   - descriptor: The file. The caller keeps it open until it is removed.
    ///   - name: The name by which the set tells of it.
    /// - Throws: `.busy` if the set has the name or the file already, `.invalidArgument` for a file that cannot be
    ///   waited for, `.limit`.
    public func add(_ descriptor: FileDescriptor, as name: Name) throws(VFIOError) {
        try core.add(descriptor, of: nil, as: name)
    }

    /// Removes an event.
    ///
    /// - Throws: `.notFound` if the set has no event of this name.
    public func remove(_ name: Name) throws(VFIOError) {
        try core.remove(name)
    }

    /// Returns the names of the events that are there, at most 16 at a time. Does not wait.
    public func poll() throws(VFIOError) -> [Name] {
        try core.ready()
    }

    /// Waits for an event and blocks the thread.
    ///
    /// - Parameter timeout: How long to wait; `nil` for no limit.
    /// - Returns: The names of the events that are there, at most 16 at a time; none after the timeout.
    public func wait(timeout: Duration? = nil) throws(VFIOError) -> [Name] {
        try core.wait(timeout: timeout)
    }

    /// The events as a sequence: each element has the names of those that are there, at least one.
    ///
    /// It ends when its task is cancelled or the set ends. Events that are not taken are there again at once.
    public var names: EventSetNames<Name> { EventSetNames(core) }

    /// Gives access to the descriptor that is readable while an event is there, for `epoll` or Dispatch. The library
    /// owns it and closes it with the set.
    public func withEvent<Result: ~Copyable, Failure: Error>(
        _ body: (FileDescriptor) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(core.event)
    }
}
