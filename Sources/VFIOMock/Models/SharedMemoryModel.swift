/// QEMU's `ivshmem-plain`, 1af4:1110: memory in BAR 2. The simplest exporter of dma-bufs.
///
/// BAR 0 holds the four registers of the device, which have no effect in its plain form. It has no interrupts and no
/// reset.
public struct SharedMemoryModel: MockDevice {
    public let pci: MockPCIFunction

    /// - Parameter byteCount: The size of the memory, a power of two.
    public init(byteCount: Int = 16 << 20) {
        pci = MockPCIFunction(
            vendor: 0x1af4, device: 0x1110, classCode: 0x050000, revision: 1,
            bars: [0: .init(.memory, 256), 2: .memory(byteCount)])
    }
}
