internal import Synchronization

/// The devices that are open in a container or an iommufd, for what one of them does to the others.
final class OpenDevices: Sendable {
    private struct Entry: Sendable {
        weak let core: DeviceCore?
    }

    private let entries = Mutex<[DeviceAddress: Entry]>([:])

    func insert(_ core: DeviceCore) { entries.withLock { $0[core.address] = Entry(core: core) } }

    /// Forgets a device, unless another one has been opened in its place.
    func remove(_ core: DeviceCore) {
        entries.withLock { entries in
            if let known = entries[core.address]?.core, known !== core { return }
            entries[core.address] = nil
        }
    }

    subscript(address: DeviceAddress) -> DeviceCore? { entries.withLock { $0[address]?.core } }
}
