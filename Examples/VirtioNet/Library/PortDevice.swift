import VFIO

/// The device of a port, which is stopped and closed with the port. Memory that it may still access then is never freed.
///
/// A class for the same reason as ``CommonRegisters``. The port uses it by one thread at a time.
final class PortDevice: @unchecked Sendable {
    private var device: Device?
    /// They hold the device open as well, so they end before it.
    private var registers: CommonRegisters?
    /// What the device has been given.
    private let memories: [PoolMemory]
    /// Whether the device is known not to access memory.
    private(set) var isStopped = false

    init(_ device: consuming Device, _ registers: CommonRegisters, using memories: [PoolMemory]) {
        self.device = consume device
        self.registers = registers
        self.memories = memories
    }

    deinit {
        // deinit ignores errors; callers that need the error close the port.
        stop()
        try? close()
    }

    /// Ends the device's DMA permanently, with a reset of the function as the last resort.
    ///
    /// - Returns: The error of the device's own reset.
    @discardableResult
    func stop() -> VirtioNetError? {
        guard let ended = registers?.shutDown() else { return nil }
        registers = nil
        isStopped = ended.isStopped
        if !isStopped {
            do throws(VFIOError) {
                try device?.reset()
                isStopped = true
            } catch {}
        }
        return ended.failure
    }

    /// Closes the device after ``stop()``, when nothing else of the port holds it open.
    ///
    /// - Throws: `.inUse` if somebody else does. The memory is never freed then, if the device is not stopped; otherwise
    ///   the kernel has stopped it now.
    func close() throws(VFIOError) {
        guard let device = device.take() else { return }
        do throws(VFIOError) { try device.close() } catch {
            if error.code == .inUse, !isStopped { for memory in memories { memory.abandon() } }
            throw error
        }
    }
}
