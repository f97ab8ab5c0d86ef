internal import Synchronization
internal import SystemPackage

/// An open device, as far as what is done to one device concerns others of the same container or iommufd.
protocol OpenDevice: AnyObject, Sendable {
    var address: DeviceAddress { get }

    /// Does something while nobody else changes the device's config space or resets it.
    func withConfigLock(_ body: () throws(VFIOError) -> Void) throws(VFIOError)

    /// Makes the call that makes the kernel revoke the device's dma-bufs, and notes it.
    func revoking(_ body: () throws(VFIOError) -> Void) throws(VFIOError)

    /// Finds out whether the device's memory answers, after something that may have changed it.
    func refreshMemoryState() throws(VFIOError)
}

/// The devices that are open in a container or an iommufd, for what one of them does to the others.
final class OpenDevices: Sendable {
    private struct Entry: Sendable {
        weak let device: (any OpenDevice)?
    }

    private let entries = Mutex<[DeviceAddress: Entry]>([:])

    func insert(_ device: any OpenDevice) { entries.withLock { $0[device.address] = Entry(device: device) } }

    /// Forgets a device, unless another one has been opened in its place.
    func remove(_ device: any OpenDevice) {
        entries.withLock { entries in
            if let known = entries[device.address]?.device, known !== device { return }
            entries[device.address] = nil
        }
    }

    subscript(address: DeviceAddress) -> (any OpenDevice)? { entries.withLock { $0[address]?.device } }
}
