import Glibc
import SystemPackage
import VFIO

/// Waits for one of two interrupts (`poll(2)`); the library waits for a single one.
enum EitherInterrupt {
    /// Waits until at least one of two interrupts has arrived, and consumes both.
    ///
    /// It may return early, when a signal arrives.
    static func wait(
        _ first: borrowing InterruptVector?, _ second: borrowing InterruptVector?, timeout: Duration
    ) throws(VirtioNetError) {
        var events = [try event(of: first), try event(of: second)].map {
            pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
        }
        // Rounded up, so that a wait of less than a millisecond does not spin.
        let (seconds, attoseconds) = timeout.components
        let milliseconds = Int32(clamping: min(seconds, 1 << 20) * 1000 + attoseconds / 1_000_000_000_000_000 + 1)
        if unsafe poll(&events, 2, milliseconds) < 0, errno != EINTR {
            throw .vfio(VFIOError(.kernel, "poll", "two interrupts", errno: Errno(rawValue: errno)))
        }
        try take(first)
        try take(second)
    }

    // Not inlined, because the optimiser of Swift 6.3 fails on the switches over two borrowed optionals.
    @inline(never)
    private static func event(of interrupt: borrowing InterruptVector?) throws(VirtioNetError) -> Int32 {
        switch interrupt {
        case .some(let interrupt): interrupt.withEvent { $0.rawValue }
        case .none: throw .noInterrupts
        }
    }

    @inline(never)
    private static func take(_ interrupt: borrowing InterruptVector?) throws(VirtioNetError) {
        switch interrupt {
        case .some(let interrupt):
            do throws(VFIOError) { _ = try interrupt.poll() } catch { throw .vfio(error) }
        case .none: throw .noInterrupts
        }
    }
}
