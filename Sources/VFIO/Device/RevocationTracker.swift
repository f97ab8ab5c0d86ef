internal import Synchronization

/// The revocation state of one device's dma-bufs.
///
/// The kernel does not notify user space of a revocation, so the library counts its own operations that cause one: each
/// ends an epoch, and a mapping from an earlier epoch is revoked. All dma-bufs of a device are revoked together, hence
/// one tracker per device; the dma-bufs keep it after the device is closed.
final class RevocationTracker: Sendable {
    struct State: Sendable {
        /// Grows by one with each revocation.
        var epoch: UInt64 = 0
        /// Whether the device's memory responds, by its registers.
        var memory = Memory.on
        /// Whether the device was put into low power; an access may have woken it since.
        var isInLowPower = false
        /// Whether the device's descriptor has been closed, which makes its dma-bufs permanently unusable.
        var isClosed = false

        /// Whether the device's BARs respond, so that the kernel permits mapping of a dma-buf.
        var isMemoryOn: Bool { memory == .on && !isInLowPower }
    }

    /// Whether a device's memory responds, as its registers tell.
    enum Memory: Sendable {
        /// Memory decode is on, and the device is in a power state in which it responds.
        case on
        case off
        /// The device does not answer.
        case gone
        /// The registers could not be read after an operation that may have changed them.
        case unknown
    }

    private let state = Mutex(State())

    var current: State { state.withLock { $0 } }

    /// Makes the call that causes a revocation, and records it.
    ///
    /// An epoch ends before the call, since an importer may be affected before it returns, and another after it, for
    /// mappings made during the call: whether the kernel revoked those cannot be known. A valid mapping that counts as
    /// revoked costs one `restore()`.
    func revoking<Failure: Error>(_ body: () throws(Failure) -> Void) throws(Failure) {
        endEpoch()
        defer { endEpoch() }
        try body()
    }

    /// Records a revocation: all mappings until now are revoked.
    func endEpoch() {
        state.withLock { $0.epoch += 1 }
    }

    /// Records whether the device's memory responds, after an operation that may have changed it.
    ///
    /// A device that stops answering has dropped accesses, so its mappings are not live, though the kernel revokes none.
    func setMemory(_ memory: Memory) {
        state.withLock { state in
            if memory == .gone && state.memory != .gone { state.epoch += 1 }
            state.memory = memory
        }
    }

    /// Records that the device entered or left low power.
    func setLowPower(_ isLow: Bool) {
        state.withLock { $0.isInLowPower = isLow }
    }

    /// Records that the device's descriptor is being closed.
    func close() {
        state.withLock { state in
            state.epoch += 1
            state.isClosed = true
        }
    }
}
