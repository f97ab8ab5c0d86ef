internal import Synchronization
package import SystemPackage

extension DeviceCore {
    /// Resets the device while holding the config lock, and updates the state of its dma-bufs and its memory.
    /// The corresponding request is `VFIO_DEVICE_RESET`.
    ///
    /// - Parameter refusals: The errors that have a more specific code than `.kernel`.
    package func reset(_ words: String, refusals: [Errno: Refusal] = [:]) throws(VFIOError) {
        try configLock.withLock { (_) throws(VFIOError) in
            do throws(VFIOError) {
                try revocation.revoking { () throws(VFIOError) in
                    try ABI.reset().perform(on: self, words, "\(address)", refusals: refusals)
                }
            } catch {
                // Update the state even after a failed reset, which may have had an effect.
                try? refreshMemoryState()
                throw error
            }
            try refreshMemoryState()
        }
    }
}
