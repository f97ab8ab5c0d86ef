/// The mock, with models of the lab's devices in the lab's slots.
struct MockedDiskMachine: DiskMachine {
    let machine: MockMachine

    init(_ model: NVMeModel = NVMeModel()) {
        machine = MockMachine()
        machine.plug(model, at: disk)
        machine.plug(SharedMemoryModel(byteCount: 16 << 20), at: memory)
        machine.plug(SharedMemoryModel(byteCount: 16 << 20), at: busMemory, group: 8)
        machine.plug(EduModel(dmaMask: .max), at: "0000:01:00.1", group: 8)
    }

    /// With a disk that does not notice when the IOMMU refuses its DMA, as QEMU's does not.
    static var ofTheLab: MockedDiskMachine { MockedDiskMachine(NVMeModel(noticesRefusedDMA: false)) }

    var kernel: any Kernel { machine.kernel }

    /// Reaches into the disk.
    func withDisk<Result: Sendable>(_ body: (inout NVMeModel) -> Result) -> Result {
        machine.withDevice(NVMeModel.self, at: disk) { model, _ in body(&model) }
    }

    /// Whether the disk could reach for memory: its CC.EN is set, and it is a bus master.
    var diskState: (isEnabled: Bool, isMaster: Bool) {
        machine.withDevice(NVMeModel.self, at: disk) { model, bus in
            (model.read(bar: 0, at: 0x14, width: 4, bus: bus) & 1 == 1, bus.isMaster)
        }
    }

    /// Lets a test work in an address space, and fails it when it leaves something behind.
    func run(_ sourceLocation: SourceLocation = #_sourceLocation, _ body: (AddressSpace) throws -> Void) throws {
        try body(try AddressSpace(kernel: kernel))
        expectNothingLeft(sourceLocation)
    }

    func expectNothingLeft(_ sourceLocation: SourceLocation) {
        #expect(machine.openFiles == [], sourceLocation: sourceLocation)
        #expect(machine.mappings == [], sourceLocation: sourceLocation)
        #expect(machine.pinnedByteCount == 0, sourceLocation: sourceLocation)
    }
}
