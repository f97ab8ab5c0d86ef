internal import CVFIO
import SystemPackage
import VFIO

final class KVMVFIOFile: FileOperations {
    private let machine: VirtualMachineFile
    /// The machine's file, which it holds.
    private let machineFile: OpenFile
    /// The added files of groups and devices, which it holds.
    private(set) var files: [OpenFile] = []

    init(_ machine: VirtualMachineFile, _ file: OpenFile) {
        self.machine = machine
        machineFile = file
    }

    var kind: MockOpenFile.Kind { .kvmVFIO }

    func opened(as file: OpenFile) {
        machineFile.hold()
        machine.vfio = self
    }

    func release() {
        for file in files { file.release() }
        files = []
        machine.vfio = nil
        machineFile.release()
    }

    func control(_ request: UInt, _ argument: Argument) throws(Errno) -> Int {
        switch request {
        case CKVM_SET_DEVICE_ATTR, CKVM_HAS_DEVICE_ATTR: break
        case CKVM_GET_DEVICE_ATTR: throw .notPermitted
        default: throw .inappropriateIOCTLForDevice
        }
        let attribute = try argument.load(ckvm_device_attr())
        guard attribute.group == CKVM_DEV_VFIO_FILE,
            attribute.attr == CKVM_DEV_VFIO_FILE_ADD || attribute.attr == CKVM_DEV_VFIO_FILE_DEL
        else { throw .noSuchAddressOrDevice }
        if request == CKVM_HAS_DEVICE_ATTR { return 0 }
        let number = try UserMemory.load(Int32(0), at: attribute.addr)
        let file = try machine.kvm.core.file(number, as: (any FileOperations).self)?.file
        let index = files.firstIndex { $0 === file }
        if attribute.attr == CKVM_DEV_VFIO_FILE_ADD {
            guard let file, isTaken(file) else { throw .invalidArgument }
            if index != nil { throw .fileExists }
            file.hold()
            files.append(file)
        } else {
            guard let index else { throw .noSuchFileOrDirectory }
            files.remove(at: index).release()
        }
        return 0
    }

    /// Groups and devices; before 6.6 only groups.
    private func isTaken(_ file: OpenFile) -> Bool {
        file.operations is VFIOGroup || file.operations is DeviceFile && !machine.kvm.release.follows6_1
    }
}
