internal import CVFIO
import SystemPackage

/// An open `/dev/kvm`.
final class KVMFile: FileOperations {
    private unowned let kvm: KVM

    init(_ kvm: KVM) { self.kvm = kvm }

    var kind: MockOpenFile.Kind { .kvm }

    func control(_ request: UInt, _ argument: Argument) throws(Errno) -> Int {
        // So the part of KVM that knows the processor answers to what is not known.
        if argument.value != 0 { throw .invalidArgument }
        switch request {
        case CKVM_GET_API_VERSION: return 12
        case CKVM_CREATE_VM: return Int(try kvm.core.open(VirtualMachineFile(kvm)).rawValue)
        default: throw .invalidArgument
        }
    }
}
