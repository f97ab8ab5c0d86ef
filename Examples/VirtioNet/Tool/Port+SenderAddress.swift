import VirtioNet

extension Port {
    /// What the frames that it sends come from: its own address, or one that nobody was given.
    var senderAddress: MACAddress { macAddress ?? MACAddress(0x0200_0000_0001) }
}
