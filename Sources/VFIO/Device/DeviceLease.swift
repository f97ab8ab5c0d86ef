/// Keeps a device open for an object made from it, until the last reference to the lease is released.
package final class DeviceLease: Sendable {
    /// The kind of object that holds the device, for the error of ``Device/close()``.
    package enum Holder: Hashable, Sendable, CustomStringConvertible {
        case mapping(RegionIndex)
        case registers(RegionIndex)
        case vector(UInt32, InterruptIndex)
        case interrupts(InterruptIndex)
        case registerWrite(RegionIndex)
        case config
        case migration
        case dmaLog
        case virtualDevice
        case registration
        case hotReset

        package var description: String {
            switch self {
            case .mapping(let region): "a mapping of \(region)"
            case .registers(let region): "the registers of \(region)"
            case .vector(let vector, let index): "vector \(vector) of \(index)"
            case .interrupts(let index): "\(index)"
            case .registerWrite(let region): "an event that writes to \(region)"
            case .config: "the config space"
            case .migration: "the migration"
            case .dmaLog: "the log of its DMA"
            case .virtualDevice: "a guest's name for it (vDEVICE)"
            case .registration: "its registration with a virtual machine"
            case .hotReset: "a hot reset, which is in progress"
            }
        }
    }

    package let core: DeviceCore
    private let holder: Holder

    package init(_ core: DeviceCore, for holder: Holder) {
        self.core = core
        self.holder = holder
        core.beginLease(holder)
    }

    /// Fails if the device has been closed.
    init?(ifOpen core: DeviceCore, for holder: Holder) {
        guard core.beginLeaseIfOpen(holder) else { return nil }
        self.core = core
        self.holder = holder
    }

    deinit { core.endLease(holder) }
}
