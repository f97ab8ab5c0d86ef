internal import CVFIOMock
internal import Glibc
import SystemPackage
import VFIO
import VFIOPassthrough

/// All state of a machine and its kernel. Whoever touches it holds the machine's lock.
final class Core {
    let release: MockRelease
    let iommu: MockIOMMU
    let host = HostKernel()
    let sysfs = Sysfs()

    var functions: [PCIAddress: PCIFunction] = [:]
    var groups: [Int: VFIOGroup] = [:]
    var mediatedParents: [String: MediatedParent] = [:]
    /// Drivers of the kernel's own that devices were plugged in with.
    var nativeDrivers: Set<String> = []
    /// Vendor and device numbers that vfio-pci was told to take (`new_id`).
    var vfioIDs: Set<UInt32> = []
    /// vfio-pci lets virtual functions be made (its parameter `enable_sriov`).
    var allowsVirtualFunctions = false
    var files: [UInt64: OpenFile] = [:]
    /// What the process has mapped, by address.
    var cpuMappings: [CPUMapping] = []
    var physicalMemory = PhysicalMemory()
    var lockLimit: UInt64?
    /// How much memory the machine has, in bytes.
    var memoryByteCount = 4 << 30
    /// How many huge pages were set aside, by their size in bytes.
    var hugePages = [2 << 20: 16, 1 << 30: 0]

    var faults: [IOMMUFault] = []
    /// What the hardware was told to forget of guests' page tables, in order.
    var invalidations: [IOMMUInvalidation] = []
    /// What devices were told of the pages that they have asked for, by the number of the wish.
    var pageAnswers: [Int: FaultQueue.Answer] = [:]
    var pageRequestCount = 0
    var plans: [FailurePlan] = []
    var isRecording = false
    var records: [MockCallRecord] = []

    private var nextLowBAR: UInt64 = 0xc000_0000
    private var nextHighBAR: UInt64 = 0x40_0000_0000
    private var emptyFile: Int32 = -1

    init(_ release: MockRelease, _ iommu: MockIOMMU) {
        self.release = release
        self.iommu = iommu
        addKernelFiles()
    }

    deinit {
        // A test may leave files open. Their objects refer to one another, and would stay for ever.
        for function in functions.values {
            for export in function.exports { export.exporterClosed() }
            function.exports = []
            function.space = nil
            function.boundDevice = nil
        }
        for group in groups.values {
            group.file = nil
            group.container?.groups = []
            group.container = nil
            group.iommufd = nil
        }
        for machine in virtualMachines {
            machine.bridge?.files = []
            machine.bridge = nil
        }
        if emptyFile >= 0 { _ = Glibc.close(emptyFile) }
    }

    /// Whether it is 6.1 whose details count.
    var isOld: Bool { release.generation == .linux6_1 }

    // MARK: Devices

    func functions(inGroup number: Int) -> [PCIFunction] {
        functions.values.filter { $0.groupNumber == number }.sorted { $0.address < $1.address }
    }

    /// Places a function's BARs in physical memory, each aligned to its size and to a page.
    func placeBARs(_ pci: MockPCIFunction) -> [Int: UInt64] {
        var addresses: [Int: UInt64] = [:]
        for (number, bar) in pci.bars.sorted(by: { $0.key < $1.key }) {
            let size = UInt64(max(bar.byteCount, 4096))
            if bar.is64Bit {
                nextHighBAR = (nextHighBAR + size - 1) & ~(size - 1)
                addresses[number] = nextHighBAR
                nextHighBAR += size
            } else {
                nextLowBAR = (nextLowBAR + size - 1) & ~(size - 1)
                addresses[number] = nextLowBAR
                nextLowBAR += size
            }
        }
        precondition(nextLowBAR <= 0xfe00_0000, "the 32-bit BARs do not fit below 4 GiB: make some of them 64-bit")
        return addresses
    }

    /// All page tables that are in use, each once.
    var spaces: [any TranslationSpace] {
        var spaces: [any TranslationSpace] = []
        for file in files.values.sorted(by: { $0.inode < $1.inode }) {
            if case .iommufd(let iommufd) = file.object { spaces += iommufd.spaces }
        }
        for group in groups.values.sorted(by: { $0.number < $1.number }) {
            if let table = group.container?.iommu, !spaces.contains(where: { $0 === table }) { spaces.append(table) }
        }
        return spaces
    }

    func checkLockLimit(adding byteCount: UInt64) throws(Errno) {
        guard let lockLimit else { return }
        let pinned = spaces.reduce(0) { $0 + $1.pinnedByteCount }
        if pinned + byteCount > lockLimit { throw .noMemory }
    }

    // MARK: Descriptors

    /// Opens a file for the process.
    func makeFile(_ object: OpenFile.Object, byteCount: UInt64 = 0) throws(Errno) -> (OpenFile, FileDescriptor) {
        let number = unsafe "vfio-mock".withCString { unsafe cmock_memory_file($0, byteCount) }
        guard number >= 0 else { throw Errno(rawValue: -number) }
        let file = OpenFile(inode: inode(number), object)
        files[file.inode] = file
        register(number, file)
        return (file, FileDescriptor(rawValue: number))
    }

    /// Opens a file whose descriptor can be waited for, with `poll`, `epoll` and what is built on them.
    func makeQueueFile(_ queue: any ReadableQueue, _ object: OpenFile.Object) throws(Errno) -> FileDescriptor {
        var writer: Int32 = -1
        let number = unsafe cmock_pipe(&writer)
        guard number >= 0 else { throw Errno(rawValue: -number) }
        queue.readiness.open(reader: number, writer: writer)
        let file = OpenFile(inode: inode(number), object)
        files[file.inode] = file
        register(number, file)
        return FileDescriptor(rawValue: number)
    }

    /// What tells the mock's files apart. Pipes are numbered by themselves.
    private func inode(_ number: Int32) -> UInt64 {
        var device: UInt64 = 0
        var inode: UInt64 = 0
        guard unsafe cmock_file_identity(number, &device, &inode) == 0 else { return 0 }
        return cmock_is_pipe(number) == 1 ? inode | 1 << 63 : inode
    }

    /// The open file of the mock that a descriptor refers to, `nil` for descriptors that are not the mock's.
    func file(_ descriptor: FileDescriptor) -> OpenFile? {
        guard !files.isEmpty,
            cmock_is_memory_file(descriptor.rawValue) == 1 || cmock_is_pipe(descriptor.rawValue) == 1,
            let file = files[inode(descriptor.rawValue)]
        else { return nil }
        // One that came in by a way that the mock did not see: dup(2), or recvmsg(2).
        if !file.descriptors.contains(descriptor.rawValue) {
            if file.inFlight > 0 { file.inFlight -= 1 }
            register(descriptor.rawValue, file)
        }
        return file
    }

    func register(_ number: Int32, _ file: OpenFile) {
        // Closed behind the mock's back, and used again since.
        for other in files.values where other !== file && other.descriptors.contains(number) { drop(number, other) }
        file.descriptors.insert(number)
    }

    func drop(_ number: Int32, _ file: OpenFile) {
        file.descriptors.remove(number)
        releaseIfUnused(file)
    }

    func hold(_ file: OpenFile) { file.holds += 1 }

    func unhold(_ file: OpenFile) {
        file.holds -= 1
        releaseIfUnused(file)
    }

    func releaseIfUnused(_ file: OpenFile) {
        guard !file.isInUse, files.removeValue(forKey: file.inode) != nil else { return }
        switch file.object {
        case .container, .kvm, .virtualMachine: break
        case .kvmVFIO(let bridge): closeKVMVFIO(bridge)
        case .group(let group): closeGroup(group)
        case .device(let device): closeDevice(device)
        case .iommufd(let iommufd): iommufd.close(self)
        case .faultQueue(let queue): closeFaultQueue(queue)
        case .eventQueue(let queue): closeEventQueue(queue)
        case .migration, .picture: break
        case .dmaBuf(let buffer): buffer.exporter?.exports.removeAll { $0 === buffer }
        }
    }

    /// An empty file: a mapping of it is there, and a touch is SIGBUS.
    func emptyFileDescriptor() throws(Errno) -> Int32 {
        if emptyFile < 0 {
            emptyFile = unsafe "vfio-mock-zapped".withCString { unsafe cmock_memory_file($0, 0) }
        }
        guard emptyFile >= 0 else { throw Errno(rawValue: -emptyFile) }
        return emptyFile
    }
}
