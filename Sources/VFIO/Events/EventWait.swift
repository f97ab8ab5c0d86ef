internal import Dispatch
internal import Synchronization
internal import SystemPackage

/// One task's wait for an event.
///
/// Dispatch watches the descriptor; an interrupt that is already pending does not go through here.
package final class EventWait: Sendable {
    private enum State {
        case idle
        case waiting(CheckedContinuation<Void, Never>, any DispatchSourceRead)
        case over
    }

    private let line: any WaitableEvent
    private let state = Mutex(State.idle)

    package init(_ line: any WaitableEvent) { self.line = line }

    package func untilReadableOrCancelled() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in begin(continuation) }
        } onCancel: {
            end()
        }
    }

    private func begin(_ continuation: CheckedContinuation<Void, Never>) {
        guard line.withWaits({ $0.begin(self) }) else { return continuation.resume() }
        let isClosed = state.withLock { state in
            // Cancelled before it began.
            if case .over = state { return true }
            let source = DispatchSource.makeReadSource(fileDescriptor: line.event.rawValue, queue: .global())
            source.setEventHandler { [self] in end() }
            // The line keeps the descriptor open until the source no longer uses it.
            source.setCancelHandler { [line] in withExtendedLifetime(line) {} }
            state = .waiting(continuation, source)
            source.resume()
            return false
        }
        if isClosed {
            // end() came before the line had recorded this wait, so it did not remove it.
            line.withWaits { $0.forget(self) }
            continuation.resume()
        }
    }

    /// Ends the wait. Further calls have no effect.
    package func end() {
        let old = state.withLock { state in
            defer { state = .over }
            return state
        }
        guard case .waiting(let continuation, let source) = old else { return }
        source.cancel()
        line.withWaits { $0.forget(self) }
        continuation.resume()
    }
}
