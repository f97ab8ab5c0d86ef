internal import CVFIOMock
internal import Glibc
import SystemPackage
import VFIO

/// The parts of a machine and its kernel, each of which refers only to those above it here. Every access requires the
/// lock.
final class Machine {
    let release: MockRelease
    let core = Core()
    let memory: ProcessMappings
    let iommu: SystemIOMMU
    let bus: SystemBus
    let vfio: VFIODriver
    let kvm: KVM

    init(_ release: MockRelease, _ iommu: MockIOMMU) {
        self.release = release
        memory = ProcessMappings(core)
        self.iommu = SystemIOMMU(iommu, release, memory, core)
        bus = SystemBus(self.iommu)
        vfio = VFIODriver(bus)
        kvm = KVM(memory, release, core)
        addNodes()
    }

    /// Adds the device nodes that exist without devices.
    private func addNodes() {
        let (system, vfio, kvm) = (iommu, vfio, kvm)
        let nodes: [(path: String, isThere: Bool, open: Sysfs.Open)] = [
            ("/dev/iommu", release.hasIOMMUFD, { [unowned system] () throws(Errno) in IOMMUFD(system) }),
            ("/dev/vfio/vfio", release.hasContainer, { [unowned vfio] () throws(Errno) in Container(vfio) }),
            ("/dev/kvm", release.hasKVM, { [unowned kvm] () throws(Errno) in KVMFile(kvm) }),
        ]
        for node in nodes where node.isThere { bus.sysfs.add([(node.path, .device(node.open))]) }
    }

    /// A test may leave files open, whose objects refer to one another: they are closed as at the end of a process.
    deinit {
        memory.exit()
        core.exit()
    }

    func function(_ address: PCIAddress) -> PCIFunction {
        guard let function = bus.functions[address] else { preconditionFailure("no device at \(address)") }
        return function
    }

    var mappings: [MockMapping] {
        let files = core.openFiles
        let spaces = files.compactMap { $0.operations as? IOMMUFD }.flatMap(\.objects.all).compactMap { $0 as? IOAS }
        let containers = vfio.containers.compactMap(\.iommu)
        return spaces.flatMap(\.mappings) + containers.flatMap(\.mappings)
    }

    // MARK: Paths

    /// `O_LARGEFILE`, which Linux adds on open; to a 64-bit program the constant is 0.
    private static let largeFile: Int32 = 0o100000

    func open(_ path: FilePath, _ mode: FileDescriptor.AccessMode) throws(Errno) -> FileDescriptor {
        if Sysfs.covers(path), let open = try bus.sysfs.device(path) {
            let descriptor = try core.open(try open(), flags: mode.rawValue | Self.largeFile)
            core.file(descriptor)?.node = path.string
            return descriptor
        }
        let descriptor = try openHostFile(path, mode)
        core.forget(descriptor.rawValue)
        return descriptor
    }

    private func openHostFile(_ path: FilePath, _ mode: FileDescriptor.AccessMode) throws(Errno) -> FileDescriptor {
        if mode == .readOnly, let information = descriptorInformation(path) { return try snapshot(information) }
        guard Sysfs.covers(path) else { return try core.host.open(path, mode) }
        // An attribute opens as a copy, which suffices for reading. Writes use `writeFile`.
        if mode != .readOnly { throw try bus.sysfs.isFolder(path) ? .isDirectory : .permissionDenied }
        return try snapshot(try bus.sysfs.contents(path))
    }

    /// The contents of `/proc/self/fdinfo/N` for a file of the mock; `nil` for other paths and files.
    func descriptorInformation(_ path: FilePath) -> [UInt8]? {
        let folder = "/proc/self/fdinfo/"
        let name = path.string.dropFirst(folder.count)
        // The kernel accepts no other spelling of the number.
        guard path.string.hasPrefix(folder), let number = Int32(name), name == String(number),
            let file = core.file(FileDescriptor(rawValue: number))
        else { return nil }
        return Array(file.information(number).utf8)
    }

    /// The target of `/proc/PID/fd/N` for a node of the mock that this process has open; `nil` for other paths.
    func descriptorTarget(_ path: FilePath) -> String? {
        let names = path.string.split(separator: "/")
        guard names.count == 4, names[0] == "proc", names[2] == "fd", ["self", "\(getpid())"].contains(names[1]),
            let number = Int32(names[3])
        else { return nil }
        return core.file(FileDescriptor(rawValue: number))?.node
    }

    private func snapshot(_ bytes: [UInt8]) throws(Errno) -> FileDescriptor {
        let number = unsafe "vfio-mock-attribute".withCString { unsafe cmock_memory_file($0, 0) }
        guard number >= 0 else { throw Errno(rawValue: -number) }
        let descriptor = FileDescriptor(rawValue: number)
        do throws(Errno) {
            _ = try unsafe bytes.span.bytes.withUnsafeBytes { (buffer) throws(Errno) in
                try unsafe core.host.write(descriptor, at: 0, from: buffer)
            }
        } catch {
            try? core.host.close(descriptor)
            throw error
        }
        return descriptor
    }

    // MARK: Memory

    func map(_ request: MemoryMapRequest) throws(Errno) -> UnsafeMutableRawPointer {
        switch request.source {
        case .anonymous(let hugePageSize): return unsafe try memory.mapMemory(request, hugePageSize: hugePageSize)
        case .file(let descriptor, let offset):
            guard let file = core.file(descriptor) else { return unsafe try memory.mapHostFile(request) }
            return unsafe try file.operations.map(request, at: offset)
        }
    }
}
