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
        /// Whether the device answers at its BARs, so that the kernel lets a dma-buf be mapped.
        var isMemoryOn = true
        /// Whether the device's descriptor has been closed, after which nothing brings its dma-bufs back.
        var isClosed = false
    }

    private let state = Mutex(State())

    var current: State { state.withLock { $0 } }

    /// Notes that the kernel revokes. Called *before* the call that makes it do so, since an importer may be hit before
    /// that call returns; if the call fails, a mapping that is still good counts as revoked, which costs one `restore()`.
    func revoke() {
        state.withLock { $0.epoch += 1 }
    }

    /// Notes whether the device's memory answers, after something that may have changed it.
    func setMemory(on isOn: Bool) {
        state.withLock { $0.isMemoryOn = isOn }
    }

    /// Notes that the device's descriptor is being closed.
    func close() {
        state.withLock { state in
            state.epoch += 1
            state.isClosed = true
        }
    }
}
