/// A virtual function of ``NVMePhysicalFunctionModel`` without queues: all registers are zero except the controller
/// status, which reports that it is offline.
public struct NVMeVirtualFunctionModel: MockDevice {
    public let pci = Self.function(msixVectors: 1, hasINTx: false, nextFunction: 0)

    public init() {}

    public mutating func start(bus: borrowing MockBus) {
        bus.writeMemory(bar: 0, at: 0, [UInt8](repeating: 0, count: 64))
        bus.writeMemory(bar: 0, at: 0x1c, [0x02])
    }

    public mutating func reset(bus: borrowing MockBus) { start(bus: bus) }

    /// The description of both types of functions.
    static func function(msixVectors: Int, hasINTx: Bool, nextFunction: UInt8) -> MockPCIFunction {
        var function = MockPCIFunction(
            vendor: 0x1b36, device: 0x0010, classCode: 0x010802, revision: 2,
            bars: [0: .init(.memory, 16384, is64Bit: true)], hasINTx: hasINTx,
            msix: .init(vectors: msixVectors, bar: 0, tableOffset: 0x2000, pendingOffset: 0x3000), isExpress: true,
            hasFunctionLevelReset: true, hasPowerManagement: true)
        // Alternative routing-ID interpretation: the function after this one.
        function.extendedCapabilities = [.init(id: 0x0e, bytes: [0, nextFunction, 0, 0])]
        return function
    }
}
