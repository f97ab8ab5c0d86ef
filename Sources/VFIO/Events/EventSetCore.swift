internal import Synchronization
package import SystemPackage

/// A set of descriptors that are waited for together: shared between an ``EventSet`` and the sequences made from it.
package final class EventSetCore<Name: Hashable & Sendable>: WaitableEvent {
    /// The `epoll` descriptor. Open until this object is deinitialized.
    package let event: FileDescriptor
    private let kernel: any Kernel
    private let state = Mutex(State())

    private struct State: Sendable {
        var waits = WaitList()
        var members: [UInt64: Member] = [:]
        var tags: [Name: UInt64] = [:]
        var nextTag: UInt64 = 0
    }

    private struct Member: Sendable {
        let name: Name
        let descriptor: FileDescriptor
        /// Keeps the descriptor open, so that its number cannot become another file's; `nil` for a caller's own.
        let owner: (any WaitableEvent)?
    }

    package init(_ kernel: any Kernel) throws(VFIOError) {
        self.kernel = kernel
        event = try attempt("make a set of events (epoll_create1)", "the process", HostKernel().makePollSet())
    }

    deinit {
        try? HostKernel().close(event)
    }

    // MARK: Members

    /// - Parameter owner: Keeps the descriptor open; `nil` if the caller does.
    package func add(_ descriptor: FileDescriptor, of owner: (any WaitableEvent)?, as name: Name) throws(VFIOError) {
        let operation = "add to a set of events (epoll_ctl)"
        try state.withLock { (state) throws(VFIOError) in
            guard state.tags[name] == nil else {
                throw VFIOError(.busy, operation, "\(name)", hint: "the set has an event of this name")
            }
            let tag = state.nextTag
            try attempt(
                operation, "\(name)",
                refusals: [
                    .fileExists: (.busy, "the set has this event already"),
                    .notPermitted: (.invalidArgument, "nothing can wait for a file of this kind"),
                    .noSpace: (.limit, "see /proc/sys/fs/epoll/max_user_watches"),
                ], HostKernel().add(descriptor, to: event, tag: tag))
            state.nextTag += 1
            state.members[tag] = Member(name: name, descriptor: descriptor, owner: owner)
            state.tags[name] = tag
        }
    }

    package func remove(_ name: Name) throws(VFIOError) {
        let operation = "remove from a set of events (epoll_ctl)"
        // Kept beyond the lock: the end of the last reference to a vector takes locks of its own.
        let member = try state.withLock { (state) throws(VFIOError) in
            guard let tag = state.tags.removeValue(forKey: name), let member = state.members.removeValue(forKey: tag)
            else {
                throw VFIOError(.notFound, operation, "\(name)", hint: "the set has no event of this name")
            }
            // A caller's descriptor that was closed has left the set by that, and its number may be another member's.
            guard !state.members.values.contains(where: { $0.descriptor == member.descriptor }) else { return member }
            do throws(Errno) {
                try HostKernel().remove(member.descriptor, from: event)
            } catch {
                let hasLeft = error == .badFileDescriptor || error == .noSuchFileOrDirectory
                guard hasLeft, member.owner?.isClosed ?? true else {
                    throw VFIOError(refused: error, operation, "\(name)")
                }
            }
            return member
        }
        withExtendedLifetime(member) {}
    }

    // MARK: Waiting

    /// Returns the names of the events that are there. Does not wait.
    package func ready() throws(VFIOError) -> [Name] {
        let tags = try attempt("look at a set of events (epoll_wait)", "the set", HostKernel().readable(in: event))
        return state.withLock { state in
            tags.compactMap { tag in
                guard let member = state.members[tag] else { return nil }
                guard member.owner?.isClosed == true else { return member.name }
                // Nobody takes an event that is pending at the close, so that each poll would report it.
                try? HostKernel().remove(member.descriptor, from: event)
                return nil
            }
        }
    }

    /// Waits for events and blocks the thread. Returns none after the timeout.
    package func wait(timeout: Duration?) throws(VFIOError) -> [Name] {
        let deadline = ContinuousClock.Instant(after: timeout)
        while true {
            let ready = try ready()
            if !ready.isEmpty { return ready }
            if let deadline, deadline <= .now { return [] }
            let isReadable = try attempt(
                "wait for a set of events (poll)", "the set", kernel.waitUntilReadable(event, until: deadline))
            guard isReadable else { return [] }
        }
    }

    /// Ends all waits and releases the members.
    package func close() {
        let (waits, members) = state.withLock { state in
            _ = state.waits.close()
            defer {
                state.members = [:]
                state.tags = [:]
            }
            return (state.waits.removeAll(), state.members)
        }
        for member in members.values where member.owner != nil {
            // The set may outlive this by Dispatch's use of it.
            try? HostKernel().remove(member.descriptor, from: event)
        }
        for wait in waits { wait.end() }
        withExtendedLifetime(members) {}
    }

    package func withWaits<Result: Sendable>(_ body: (inout WaitList) -> Result) -> Result {
        state.withLock { body(&$0.waits) }
    }
}
