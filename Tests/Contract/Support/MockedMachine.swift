import VFIOMock

/// The mock, with models of the lab's devices in the lab's slots.
final class MockedMachine: ContractMachine {
    private let machine: MockMachine

    /// The lab's kernels that the mock stands in for.
    static let releases: [(name: String, release: MockRelease)] = [
        ("iommufd", .iommufd), ("stock", .stock), ("6.1", .linux6_1),
    ]

    init(_ release: MockRelease) {
        machine = MockMachine(release)
        machine.plug(EduModel(dmaMask: .max), at: "0000:00:02.0")
        machine.plug(SharedMemoryModel(byteCount: 16 << 20), at: "0000:00:03.0")
        machine.plug(NVMeMemoryModel(memoryByteCount: 4 << 20), at: "0000:00:04.0")
        machine.plug(SharedMemoryModel(byteCount: 16 << 20), at: "0000:01:00.0", group: 8)
        machine.plug(EduModel(dmaMask: .max), at: "0000:01:00.1", group: 8)
        machine.plug(NVMePhysicalFunctionModel(virtualFunctionLimit: 4), at: "0000:02:00.0")
        machine.plug(VirtioNetModel(), at: "0000:03:00.0")
        machine.plug(VirtioNetModel(macAddress: 0x5254_0000_0008), at: "0000:04:00.0")
        machine.plug(EduModel(dmaMask: .max), at: "0000:41:01.0", hasIOMMU: false)
        // Only the lab's own kernel has the driver.
        guard release.hasIOMMUFD else { return }
        machine.addMediatedParent(
            "mtty", types: ["mtty-1": { SerialPortModel(portCount: 1) }, "mtty-2": { SerialPortModel(portCount: 2) }])
        machine.addMediatedParent("mdpy", types: ["mdpy-vga": { FramebufferModel() }], limit: 4)
        machine.addMediatedParent("mbochs", types: ["mbochs-small": { BochsDisplayModel() }], limit: 64)
    }

    var kernel: any Kernel { machine.kernel }

    var makesUpDevices: Bool { false }

    func setAnswering(_ isAnswering: Bool, at device: PCIAddress) { machine.setAnswering(isAnswering, at: device) }

    func faults() -> Set<Fault> {
        Set(
            machine.faults.map { fault in
                switch fault {
                case .read(let iova, let device): Fault(.read, at: iova, by: device)
                case .write(let iova, let device): Fault(.write, at: iova, by: device)
                }
            })
    }
}
