internal import Dispatch
internal import Synchronization
internal import SystemPackage

/// One wait of a task for an event.
///
/// Dispatch watches the descriptor, as it watches descriptors for everybody; nothing here is on the way of an interrupt that
/// has come already.
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
        guard line.begin(self) else { return continuation.resume() }
        let isClosed = state.withLock { state in
            // Cancelled before it began.
            if case .over = state { return true }
            let source = DispatchSource.makeReadSource(fileDescriptor: line.event.rawValue, queue: .global())
            source.setEventHandler { [self] in end() }
            // The line keeps the descriptor open until the source has let go of it.
            source.setCancelHandler { [line] in line.watchCancelled() }
            state = .waiting(continuation, source)
            source.resume()
            return false
        }
        if isClosed {
            // end() came before the line knew of this wait, so it did not take it out.
            line.forget(self)
            line.watchCancelled()
            continuation.resume()
        }
    }

    /// Ends the wait, whatever it has waited for. Once is enough; more does no harm.
    package func end() {
        let old = state.withLock { state in
            defer { state = .over }
            return state
        }
        guard case .waiting(let continuation, let source) = old else { return }
        source.cancel()
        line.forget(self)
        continuation.resume()
    }
}
