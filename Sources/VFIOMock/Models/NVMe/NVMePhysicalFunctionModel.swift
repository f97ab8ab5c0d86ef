/// QEMU's `nvme` with `sriov_max_vfs`, without a controller: its identity, its capabilities, and virtual functions.
///
/// It has 11 MSI-X vectors, whose table is in BAR 0, and no controller memory buffer.
public struct NVMePhysicalFunctionModel: SingleRootIOVDevice {
    public let pci: MockPCIFunction
    public let virtualFunctionLimit: Int

    /// - Parameter virtualFunctionLimit: The maximum number of virtual functions.
    public init(virtualFunctionLimit: Int = 4) {
        self.virtualFunctionLimit = virtualFunctionLimit
        pci = NVMeVirtualFunctionModel.function(msixVectors: 11, hasINTx: true, nextFunction: 1)
    }

    public func makeVirtualFunction(_ number: Int) -> any MockDevice { NVMeVirtualFunctionModel() }

    public mutating func start(bus: borrowing MockBus) {
        bus.writeMemory(bar: 0, at: 0, [UInt8](repeating: 0, count: 64))
        // CAP as that of NVMeMemoryModel, but for the memory buffer, and VS: 1.4.0.
        bus.writeMemory(bar: 0, at: 0, [0xff, 0x07, 0x01, 0x0f, 0x20, 0x18, 0x40, 0x00, 0x00, 0x04, 0x01, 0x00])
    }

    public mutating func reset(bus: borrowing MockBus) { start(bus: bus) }
}
