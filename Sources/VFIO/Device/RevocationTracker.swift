internal import Synchronization

/// What the library knows of the revocations of one device's dma-bufs.
///
/// The kernel revokes without telling user space, so the library counts what it does itself that makes the kernel revoke:
/// each such event ends an epoch, and a mapping from an earlier epoch is no longer good. All dma-bufs of a device are
/// revoked together, hence one tracker a device; it lives on with the dma-bufs when the device is closed.
final class RevocationTracker: Sendable {
    struct State: Sendable {
        /// Grows by one with each revocation.
        var epoch: UInt64 = 0
        /// Whether memory decode is on and the device in a power state in which it answers, by its registers.
        var isDecoding = true
        /// Whether the device was put into low power, from which an access may have brought it back meanwhile.
        var isInLowPower = false
        /// Whether the device's descriptor has been closed, after which nothing brings its dma-bufs back.
        var isClosed = false

        /// Whether the device answers at its BARs, so that the kernel lets a dma-buf be mapped.
        var isMemoryOn: Bool { isDecoding && !isInLowPower }
    }

    private let state = Mutex(State())

    var current: State { state.withLock { $0 } }

    /// Makes the call that makes the kernel revoke, and notes it.
    ///
    /// An epoch ends before the call, since an importer may be hit before it returns, and another one after it, for
    /// mappings that were made meanwhile: whether the kernel revoked them too cannot be known. A mapping that is still
    /// good and counts as revoked costs one `restore()`.
    func revoking<Failure: Error>(_ body: () throws(Failure) -> Void) throws(Failure) {
        endEpoch()
        defer { endEpoch() }
        try body()
    }

    private func endEpoch() {
        state.withLock { $0.epoch += 1 }
    }

    /// Notes whether the device's memory answers, after something that may have changed it.
    func setMemory(on isOn: Bool) {
        state.withLock { $0.isDecoding = isOn }
    }

    /// Notes that the device was put into low power, or taken out of it.
    func setLowPower(_ isLow: Bool) {
        state.withLock { $0.isInLowPower = isLow }
    }

    /// Notes that the device's descriptor is being closed.
    func close() {
        state.withLock { state in
            state.epoch += 1
            state.isClosed = true
        }
    }
}
