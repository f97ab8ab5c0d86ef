internal import CVFIOMock
internal import Glibc
import SystemPackage
import VFIO

extension Core {
    /// The start of every call: it is recorded, fails if it is to, and the kernel does what it does meanwhile.
    func begin(_ call: MockCall, request: UInt? = nil) throws(Errno) {
        if isRecording { records.append(MockCallRecord(call, request: request)) }
        serveEvents()
        guard !plans.isEmpty else { return }
        var failure: Errno?
        for index in plans.indices where failure == nil {
            if plans[index].takes(call, request: request) { failure = plans[index].errno }
        }
        plans.removeAll { $0.count == 0 }
        if let failure { throw failure }
    }

    func open(_ path: FilePath, _ mode: FileDescriptor.AccessMode) throws(Errno) -> FileDescriptor {
        if mode == .readOnly, let information = descriptorInformation(path) { return try snapshot(information) }
        guard Sysfs.covers(path) else { return try host.open(path, mode) }
        if let open = try sysfs.device(path) {
            let descriptor = try open()
            file(descriptor)?.statusFlags = mode.rawValue | Self.largeFile
            return descriptor
        }
        // An attribute: a copy of it, which is all that reading needs. Writing goes by `writeFile`.
        if mode != .readOnly { throw try sysfs.isFolder(path) ? .isDirectory : .permissionDenied }
        return try snapshot(try sysfs.contents(path))
    }

    /// `O_LARGEFILE`, which Linux adds by itself to what is opened by a path; to a program on 64 bits the constant is 0.
    private static let largeFile: Int32 = 0o100000

    /// What `/proc/self/fdinfo/N` says of a file of the mock; `nil` for other paths, and for files of the host.
    func descriptorInformation(_ path: FilePath) -> [UInt8]? {
        let folder = "/proc/self/fdinfo/"
        let name = path.string.dropFirst(folder.count)
        // The kernel takes no other spelling of the number.
        guard path.string.hasPrefix(folder), let number = Int32(name), name == String(number),
            let file = file(FileDescriptor(rawValue: number))
        else { return nil }
        let closesOnExec = fcntl(number, F_GETFD) & FD_CLOEXEC != 0
        let flags = file.statusFlags | (closesOnExec ? O_CLOEXEC : 0)
        var text = "pos:\t\(file.position)\nflags:\t0\(String(flags, radix: 8))\nmnt_id:\t14\nino:\t\(file.inode)\n"
        switch file.object {
        case .dmaBuf(let buffer):
            text += "size:\t\(buffer.byteCount)\ncount:\t\(file.referenceCount)\nexp_name:\tvfio_pci_core\n"
            if let name = buffer.name { text += "name:\t\(name)\n" }
        case .picture(let picture):
            text += "size:\t\(picture.byteCount)\ncount:\t\(file.referenceCount)\nexp_name:\tmbochs\n"
            if let name = picture.name { text += "name:\t\(name)\n" }
        case .device(let device) where !isOld:
            text += "vfio-device-syspath: \(device.function.sysfsPath)\n"
        case .device, .container, .group, .iommufd, .faultQueue, .eventQueue, .migration, .kvm, .virtualMachine,
            .kvmVFIO:
            break
        }
        return Array(text.utf8)
    }

    private func snapshot(_ bytes: [UInt8]) throws(Errno) -> FileDescriptor {
        let number = unsafe "vfio-mock-attribute".withCString { unsafe cmock_memory_file($0, 0) }
        guard number >= 0 else { throw Errno(rawValue: -number) }
        let descriptor = FileDescriptor(rawValue: number)
        do throws(Errno) {
            _ = try unsafe bytes.span.bytes.withUnsafeBytes { (buffer) throws(Errno) in
                try unsafe host.write(descriptor, at: 0, from: buffer)
            }
        } catch {
            try? host.close(descriptor)
            throw error
        }
        return descriptor
    }

    func control(_ file: OpenFile, _ request: UInt, _ argument: Argument) throws(Errno) -> Int {
        switch file.object {
        case .container(let container): try containerControl(container, request, argument)
        case .group(let group): try groupControl(group, request, argument)
        case .device(let device): try deviceControl(device, request, argument)
        case .iommufd(let iommufd): try iommufdControl(iommufd, request, argument)
        case .dmaBuf(let buffer): try dmaBufControl(buffer, request, argument)
        case .faultQueue, .eventQueue: throw .inappropriateIOCTLForDevice
        case .migration(let file): try migrationControl(file, request, argument)
        case .kvm: try kvmControl(request, argument)
        case .virtualMachine(let machine): try virtualMachineControl(machine, file, request, argument)
        case .kvmVFIO(let bridge): try kvmVFIOControl(bridge, request, argument)
        case .picture(let picture): try pictureControl(picture, request, argument)
        }
    }
}
