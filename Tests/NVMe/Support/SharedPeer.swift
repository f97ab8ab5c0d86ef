/// A device and a mapping of its memory, which a thread beside the test's revokes and restores.
final class SharedPeer: Sendable {
    let device: Device
    let mapping: PeerMapping

    init(_ device: consuming Device, in space: AddressSpace) throws {
        try device.config.updateCommand { $0.insert(.memoryDecode) }
        mapping = try space.map(device.exportDMABuf(of: .bar2, 0..<4096))
        self.device = device
    }

    /// Has the kernel take the memory away, and lets the device answer again.
    func revoke() throws {
        try device.config.updateCommand { $0.remove(.memoryDecode) }
        try device.config.updateCommand { $0.insert(.memoryDecode) }
    }
}
