internal import Synchronization
internal import SystemPackage

/// An open device, for operations on one device that affect others of the same container or iommufd.
protocol OpenDevice: AnyObject, Sendable {
    var address: DeviceAddress { get }

    /// Calls `body` while holding the device's config lock.
    func withConfigLock(_ body: () throws(VFIOError) -> Void) throws(VFIOError)

    /// Makes a call that revokes the device's dma-bufs, and records it.
    func revoking(_ body: () throws(VFIOError) -> Void) throws(VFIOError)

    /// Updates whether the device's memory responds, after an operation that may have changed it.
    func refreshMemoryState() throws(VFIOError)
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

    subscript(address: DeviceAddress) -> (any OpenDevice)? { entries.withLock { $0[address]?.device } }
}
