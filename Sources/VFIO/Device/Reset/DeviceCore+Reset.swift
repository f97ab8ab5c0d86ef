internal import Synchronization
package import SystemPackage

extension DeviceCore {
    /// Resets the device, in its turn with those who change the config space, and keeps what is known of its dma-bufs
    /// and its memory true. The corresponding request is `VFIO_DEVICE_RESET`.
    ///
    /// - Parameter refusals: What the kernel's refusals mean to the caller.
    package func reset(_ words: String, refusals: [Errno: Refusal] = [:]) throws(VFIOError) {
        try configLock.withLock { (_) throws(VFIOError) in
            do throws(VFIOError) {
                try revocation.revoking { () throws(VFIOError) in
                    try ABI.reset().perform(on: self, words, "\(address)", refusals: refusals)
                }
            } catch {
                // What the reset has left behind is to be known even when it failed.
                try? refreshMemoryState()
                throw error
            }
            try refreshMemoryState()
        }
    }
}
