import Synchronization
import VFIO

/// The registers of the common configuration structure. Its deinitialization ends the device's DMA.
///
/// A class, which the packet path does not use, because the optimiser of Swift 6.3 fails on a port that contains a
/// `deinit`.
final class CommonRegisters: Sendable {
    let bank: RegisterBank
    /// The offset of the structure in its BAR in bytes.
    let offset: Int
    /// Whether the device must be reset on deinitialization.
    let isLive = Atomic(true)
    private let config: ConfigSpace

    init(_ bank: consuming RegisterBank, at offset: Int, _ config: ConfigSpace) {
        self.bank = bank
        self.offset = offset
        self.config = config
    }

    deinit { shutDown() }

    /// Ends the device's DMA permanently: by a reset or, if that fails, by disabling bus mastering.
    ///
    /// Does nothing when it was called before.
    ///
    /// - Returns: Whether one of them succeeded, and the error of the reset.
    @discardableResult
    func shutDown() -> (isStopped: Bool, failure: VirtioNetError?) {
        guard isLive.exchange(false, ordering: .relaxed) else { return (true, nil) }
        do throws(VirtioNetError) {
            try reset()
            return (true, nil)
        } catch {
            let failure = error
            do throws(VFIOError) { try config.updateCommand { $0.remove(.busMaster) } } catch {
                return (false, failure)
            }
            return (true, failure)
        }
    }

    /// Resets the device. The reset is complete when its status reads as 0.
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
