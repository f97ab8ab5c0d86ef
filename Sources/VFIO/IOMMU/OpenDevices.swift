internal import Synchronization
internal import SystemPackage

/// An open device, for operations on one device that affect others of the same container or iommufd.
protocol OpenDevice: AnyObject, Sendable {
    var address: DeviceAddress { get }

    /// The number of the IOMMU group that it was opened through; `nil` with an iommufd.
    var groupNumber: Int? { get }

    /// Keeps the device open while the result exists; `nil` if it has been closed.
    func keepOpen() -> (any Sendable)?

    /// Calls `body` while holding the device's config lock.
    func withConfigLock<Failure: Error>(_ body: () throws(Failure) -> Void) throws(Failure)

    /// Makes a call that revokes the device's dma-bufs, and records it.
    func revoking<Failure: Error>(_ body: () throws(Failure) -> Void) throws(Failure)

    /// Records that the device's dma-bufs have been revoked.
    func recordRevocation()

    /// Updates whether the device's memory responds, after an operation that may have changed it.
    func refreshMemoryState()
}

/// An open device that stays open while this value exists.
struct HeldDevice: Sendable {
    let device: any OpenDevice
    private let lease: any Sendable

    init?(_ device: any OpenDevice) {
        guard let lease = device.keepOpen() else { return nil }
        self.device = device
        self.lease = lease
    }
}

/// The open devices of a container or an iommufd.
final class OpenDevices: Sendable {
    private struct Entry: Sendable {
        weak let device: (any OpenDevice)?
    }

    private let entries = Mutex<[DeviceAddress: Entry]>([:])

    func insert(_ device: any OpenDevice) { entries.withLock { $0[device.address] = Entry(device: device) } }

    /// Removes a device, unless another one has been opened in its place.
    func remove(_ device: any OpenDevice) {
        entries.withLock { entries in
            if let known = entries[device.address]?.device, known !== device { return }
            entries[device.address] = nil
        }
    }

    /// Returns the devices that are open and fulfil a condition, in the order of their names, and keeps them open.
    func hold(where isWanted: (any OpenDevice) -> Bool) -> [HeldDevice] {
        let devices = entries.withLock { $0.values.compactMap(\.device) }
        return devices.filter(isWanted).sorted { $0.address.description < $1.address.description }
            .compactMap(HeldDevice.init)
    }
}
