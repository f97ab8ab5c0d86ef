import ExampleSupport
import NVMe
import VFIO

/// The previous content of some blocks of a disk.
struct SavedBlocks {
    private let disk: Namespace
    private let block: UInt64
    private let count: Int
    private let bytes: [UInt8]

    /// Reads the blocks.
    ///
    /// - Parameter buffer: A buffer for them, which is free again afterwards.
    init(
        _ disk: Namespace, at block: UInt64, count: Int, with queue: inout QueuePair,
        through buffer: borrowing DMABuffer
    ) throws(NVMeError) {
        (self.disk, self.block, self.count) = (disk, block, count)
        try queue.readAll(disk, at: block, count: count, into: buffer)
        bytes = buffer.bytes(count: count * disk.blockSize)
    }

    /// Writes the blocks back, and flushes.
    ///
    /// - Parameter isRecovering: Whether the queue may need to recover first.
    /// - Throws: An error that names the blocks and the reason why they are lost.
    func putBack(
        with queue: inout QueuePair, through buffer: borrowing DMABuffer, isRecovering: Bool
    ) throws(Example.Failure) {
        do throws(NVMeError) {
            try write(with: &queue, through: buffer, isRecovering: isRecovering)
        } catch {
            do throws(NVMeError) {
                try write(with: &queue, through: buffer, isRecovering: true)
            } catch {
                throw Example.Failure(
                    "the \(count) blocks from \(block) on of namespace \(disk.id) could not be put back, so "
                        + "what they had is lost: \(error)")
            }
        }
    }

    private func write(
        with queue: inout QueuePair, through buffer: borrowing DMABuffer, isRecovering: Bool
    ) throws(NVMeError) {
        if isRecovering {
            // Until then the controller may still access the buffer.
            try queue.recover()
            while queue.nextCompletion() != nil {}
        }
        buffer.copy(bytes)
        try queue.writeAll(disk, at: block, count: count, from: buffer)
        try queue.flush(disk)
    }
}
