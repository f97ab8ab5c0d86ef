internal import Glibc
import SystemPackage

/// An open file of the mock: what `struct file` is to Linux.
///
/// Its descriptors are those of an empty file in memory, and the inode tells which open file a descriptor belongs to,
/// however the process came by it.
final class OpenFile {
    enum Object {
        case container(Container)
        case group(VFIOGroup)
        case device(DeviceFile)
        case iommufd(IOMMUFD)
        case dmaBuf(DMABuf)
        case faultQueue(FaultQueueFile)
        case eventQueue(EventQueueFile)
        case migration(MigrationFile)
        case kvm
        case virtualMachine(VirtualMachineFile)
        case kvmVFIO(KVMVFIOFile)
        case picture(PictureFile)
    }

    let inode: UInt64
    let object: Object
    /// The descriptors that the mock knows of.
    var descriptors: Set<Int32> = []
    /// Descriptors on their way through sockets.
    var inFlight = 0
    /// What else keeps it open: mappings of the process, and other objects of the kernel.
    var holds = 0
    /// How it was opened, as `fcntl` and fdinfo tell it. The mock's own file below is always open for both.
    var statusFlags = O_RDWR
    /// For `read` and `write` without an offset.
    var position: UInt64 = 0

    init(inode: UInt64, _ object: Object) {
        self.inode = inode
        self.object = object
    }

    /// The device, for `pread` and `pwrite`. A dma-buf has no offsets; other files have nothing to read.
    func seekableDevice() throws(Errno) -> DeviceFile {
        switch object {
        case .device(let device): return device
        case .dmaBuf, .migration, .picture: throw .illegalSeek
        default: throw .invalidArgument
        }
    }

    var isInUse: Bool { referenceCount > 0 }

    var referenceCount: Int { descriptors.count + inFlight + holds }
}
