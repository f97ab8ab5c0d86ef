import VFIO
import VFIOMock

/// The replacement of the edu on the mock: its identity, an MSI, and a BAR that is plain memory.
///
/// A BAR with side effects, such as that of `EduModel`, cannot be mapped on the mock, so it cannot be passed to a
/// guest.
struct EduStandIn: MockDevice {
    let pci = MockPCIFunction(
        vendor: 0x1234, device: 0x11e8, classCode: 0x00ff00, revision: 0x10, bars: [0: .init(.memory, 1 << 20)],
        hasINTx: true, msiVectors: 1)

    func start(bus: borrowing MockBus) { bus.writeMemory(bar: 0, at: 0, [0xed, 0x00, 0x00, 0x01]) }
}
