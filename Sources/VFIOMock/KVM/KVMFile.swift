internal import CVFIO
import SystemPackage

final class KVMFile: FileOperations {
    private unowned let kvm: KVM

    init(_ kvm: KVM) { self.kvm = kvm }

    var kind: MockOpenFile.Kind { .kvm }

    func control(_ request: UInt, _ argument: Argument) throws(Errno) -> Int {
        // The architecture's part of KVM answers unknown requests so.
        if argument.value != 0 { throw .invalidArgument }
        switch request {
        case CKVM_GET_API_VERSION: return 12
        case CKVM_CREATE_VM: return Int(try kvm.core.open(VirtualMachineFile(kvm)).rawValue)
        default: throw .invalidArgument
        }
    }
}

/// The kernel's KVM and its virtual machines.
final class KVM {
    let core: Core
    let memory: ProcessMappings
    let release: MockRelease
    /// In the order of their creation.
    var machines: [VirtualMachineFile] = []
    /// The eventfds that are interrupts of any machine.
    var interruptEvents: Set<Int64> = []

    init(_ memory: ProcessMappings, _ release: MockRelease, _ core: Core) {
        self.memory = memory
        self.release = release
        self.core = core
    }
}
