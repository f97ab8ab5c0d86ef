/// The kernel's KVM: the virtual machines that there are.
final class KVM {
    let core: Core
    let memory: ProcessMappings
    let release: MockRelease
    /// In the order of their making.
    private(set) var machines: [VirtualMachineFile] = []
    /// The eventfds that are interrupts of some machine.
    var interruptEvents: Set<Int64> = []

    init(_ memory: ProcessMappings, _ release: MockRelease, _ core: Core) {
        self.memory = memory
        self.release = release
        self.core = core
    }

    func add(_ machine: VirtualMachineFile) { machines.append(machine) }

    func remove(_ machine: VirtualMachineFile) { machines.removeAll { $0 === machine } }
}
