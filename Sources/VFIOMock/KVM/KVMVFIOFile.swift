/// The kvm-vfio device of a virtual machine.
final class KVMVFIOFile {
    /// The machine's own file, which stays open for it.
    let machineFile: OpenFile
    let machine: VirtualMachineFile
    /// The files of groups and devices that were added, which stay open for it.
    var files: [OpenFile] = []

    init(_ machine: VirtualMachineFile, _ file: OpenFile) {
        self.machine = machine
        machineFile = file
    }
}
