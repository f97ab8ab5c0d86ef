internal import CVFIOMock
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
        let text = path.string
        if text == "/dev/iommu" {
            guard release.hasIOMMUFD else { throw .noSuchFileOrDirectory }
            return try makeFile(.iommufd(IOMMUFD())).1
        }
        if text == "/dev/vfio/vfio" {
            guard release.hasContainer else { throw .noSuchFileOrDirectory }
            return try openContainer()
        }
        if text.hasPrefix("/dev/vfio/devices/vfio"), let number = Int(text.dropFirst(22)) {
            return try openNode(number)
        }
        if text.hasPrefix("/dev/vfio/"), let number = Int(text.dropFirst(10)) { return try openGroup(number) }
        guard Sysfs.covers(path) else { return try host.open(path, mode) }
        // An attribute: a copy of it, which is all that reading needs. Writing goes by `writeFile`.
        let sysfs = Sysfs(self)
        if mode != .readOnly { throw try sysfs.isFolder(path) ? .isDirectory : .permissionDenied }
        return try snapshot(try sysfs.contents(path))
    }

    private func snapshot(_ bytes: [UInt8]) throws(Errno) -> FileDescriptor {
        let number = unsafe "vfio-mock-attribute".withCString { unsafe cmock_memory_file($0, 0) }
        guard number >= 0 else { throw Errno(rawValue: -number) }
        let descriptor = FileDescriptor(rawValue: number)
        _ = try unsafe bytes.span.bytes.withUnsafeBytes { (buffer) throws(Errno) in
            try unsafe host.write(descriptor, at: 0, from: buffer)
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
        case .faultQueue: throw .inappropriateIOCTLForDevice
        }
    }
}
