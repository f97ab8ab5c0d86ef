internal import Synchronization
package import SystemPackage

extension DeviceCore {
    /// Resets the device while holding the config lock, and updates the state of its dma-bufs and its memory.
    /// The corresponding request is `VFIO_DEVICE_RESET`.
    ///
    /// - Parameter refusals: The errors that have a more specific code than `.kernel`.
    package func reset(_ words: String, refusals: [Errno: Refusal] = [:]) throws(VFIOError) {
        try configLock.withLock { (_) throws(VFIOError) in
            try prepareRefresh()
            var failure: VFIOError?
            do throws(VFIOError) {
                try revocation.revoking { () throws(VFIOError) in
                    try ABI.reset().perform(on: self, words, "\(address)", refusals: refusals)
                }
            } catch {
                failure = error
            }
            // Also after a failed reset, which may have had an effect.
            refreshMemoryState()
            if let failure = self.failure(ABI.Call.reset.operation(words), failure) { throw failure }
        }
    }
}
