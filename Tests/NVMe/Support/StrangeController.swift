/// A controller that a driver has to turn down before it writes anything to it.
struct StrangeController: MockDevice {
    let pci: MockPCIFunction
    private let capabilities: UInt64

    /// - Parameters:
    ///   - classCode: What kind of device it says to be.
    ///   - registerByteCount: The size of BAR 0.
    ///   - capabilities: Bits of `CAP` beside those of the NVM command set and of queues of 64 entries.
    init(classCode: UInt32 = 0x010802, registerByteCount: Int = 8192, capabilities: UInt64 = 0) {
        pci = MockPCIFunction(
            vendor: 0x1b36, device: 0x0010, classCode: classCode, bars: [0: .registers(registerByteCount)])
        self.capabilities = capabilities | 1 << 37 | 63
    }

    func read(bar: Int, at offset: UInt64, width: Int, bus: borrowing MockBus) -> UInt64 {
        offset < 8 ? capabilities >> (8 * offset) : 0
    }

    func write(_ value: UInt64, bar: Int, at offset: UInt64, width: Int, bus: borrowing MockBus) {
        Issue.record("the driver has written to register \(offset)")
    }
}
