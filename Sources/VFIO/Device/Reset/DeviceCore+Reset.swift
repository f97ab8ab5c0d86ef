internal import CVFIO
internal import Synchronization
internal import SystemPackage

extension DeviceCore {
    /// Resets the device (`VFIO_DEVICE_RESET`), in its turn with those who change the config space, and keeps what is
    /// known of its dma-bufs and its memory true.
    ///
    /// - Parameter refusal: What the kernel's refusal means to the caller.
    func reset(refusal: (Errno) -> VFIOError) throws(VFIOError) {
        try configTurn.withLock { (_) throws(VFIOError) in
            do throws(Errno) {
                try revocation.revoking { () throws(Errno) in
                    _ = try kernel.control(descriptor, CVFIO_DEVICE_RESET, value: 0)
                }
            } catch {
                // What the reset has left behind is to be known even when it failed.
                try? refreshMemoryState()
                throw refusal(error)
            }
            try refreshMemoryState()
        }
    }
}
