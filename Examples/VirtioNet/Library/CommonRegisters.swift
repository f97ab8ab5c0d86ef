import Synchronization
import VFIO

/// The registers of the common configuration structure, whose end ends the device's DMA.
///
/// A class, which no packet's way leads by: the optimiser of Swift 6.3 fails on a port that has a `deinit` inside of it.
final class CommonRegisters: Sendable {
    let bank: RegisterBank
    /// Where the structure begins in its BAR, in bytes.
    let offset: Int
    /// Whether the device is to be reset at the end.
    let isLive = Atomic(true)
    private let config: ConfigSpace

    init(_ bank: consuming RegisterBank, at offset: Int, _ config: ConfigSpace) {
        self.bank = bank
        self.offset = offset
        self.config = config
    }

    deinit { try? shutDown() }

    /// Ends the device's DMA for good: by a reset, or when that fails, by taking away its right to it.
    ///
    /// Does nothing when it was called before.
    func shutDown() throws(VirtioNetError) {
        guard isLive.exchange(false, ordering: .relaxed) else { return }
        do throws(VirtioNetError) {
            try reset()
        } catch {
            // What went wrong first is what counts; a device whose config space is gone as well does no DMA.
            try? config.updateCommand { $0.remove(.busMaster) }
            throw error
        }
    }

    /// Resets the device: it has done so once its status reads as 0.
    func reset() throws(VirtioNetError) {
        let status = offset + CommonConfiguration.Field.status
        bank.write8(0, at: status)
        let deadline = ContinuousClock.now + .seconds(2)
        while bank.read8(at: status) != 0 {
            do throws(VFIOError) { try bank.check() } catch { throw .vfio(error) }
            guard ContinuousClock.now < deadline else { throw .resetTimedOut }
        }
        do throws(VFIOError) { try bank.check() } catch { throw .vfio(error) }
    }
}
