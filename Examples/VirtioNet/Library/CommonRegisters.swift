import Synchronization
import VFIO

/// The registers of the common configuration structure, whose end resets the device.
///
/// A class, which no packet's way leads by: the optimiser of Swift 6.3 fails on a port that has a `deinit` inside of it.
final class CommonRegisters: Sendable {
    let bank: RegisterBank
    /// Where the structure begins in its BAR, in bytes.
    let offset: Int
    /// Whether the device is to be reset at the end.
    let isLive = Atomic(true)

    init(_ bank: consuming RegisterBank, at offset: Int) {
        self.bank = bank
        self.offset = offset
    }

    deinit { if isLive.load(ordering: .relaxed) { try? reset() } }

    /// Resets the device: it has done so once its status reads as 0.
    func reset() throws(VirtioNetError) {
        let status = offset + CommonConfiguration.Field.status
        bank.write8(0, at: status)
        let deadline = ContinuousClock.now + .seconds(2)
        while bank.read8(at: status) != 0 {
            do throws(VFIOError) { try bank.check() } catch { throw .vfio(error) }
            guard ContinuousClock.now < deadline else { throw .resetTimedOut }
        }
    }
}
