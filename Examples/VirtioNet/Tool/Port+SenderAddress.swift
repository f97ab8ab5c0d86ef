import VirtioNet

extension Port {
    /// The source address of sent frames: the device's own, or a locally administered one.
    var senderAddress: MACAddress { macAddress ?? MACAddress(0x0200_0000_0001) }
}
