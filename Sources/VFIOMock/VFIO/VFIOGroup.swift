internal import CVFIO
import SystemPackage
import VFIO

/// An IOMMU group with a device bound to vfio-pci, and its file, which can be open only once.
final class VFIOGroup: FileOperations {
    /// The kernel drivers without DMA, which may hold devices of a group that a process has.
    private static let harmlessDrivers: Set<String> = ["vfio-pci", "pci-stub", "pcieport"]

    let number: Int
    private unowned let driver: VFIODriver
    /// `false` for a group that VFIO created.
    var hasIOMMU = true
    private(set) weak var file: OpenFile?
    private(set) var container: Container?
    /// The iommufd that it uses as its container.
    private(set) var iommufd: (file: OpenFile, operations: IOMMUFD)?
    private var deviceCount = 0
    /// The number of devices bound to an iommufd by their own nodes.
    var nodeCount = 0
    /// The iommufd that owns the group's DMA.
    private(set) var owner: IOMMUFD?

    init(_ number: Int, _ driver: VFIODriver) {
        self.number = number
        self.driver = driver
    }

    var functions: [PCIFunction] { driver.bus.functions(inGroup: number) }

    /// Whether it is the group of a mediated device, which has no IOMMU.
    var isEmulated: Bool { functions.contains(where: \.isMediated) }

    /// Whether a kernel driver with DMA holds a device of the group.
    private var isClaimedByHost: Bool {
        functions.contains { $0.driver.map { !Self.harmlessDrivers.contains($0) } ?? false }
    }

    /// Makes an iommufd the owner of the group's DMA. `EPERM` when there is another owner.
    func claim(for iommufd: IOMMUFD) throws(Errno) {
        if isClaimedByHost || owner.map({ $0 !== iommufd }) == true { throw .notPermitted }
        owner = iommufd
    }

    func releaseOwnerIfUnused() { if !functions.contains(where: { $0.boundDevice != nil }) { owner = nil } }

    // MARK: As a file

    var kind: MockOpenFile.Kind { .group(number) }

    func opened(as file: OpenFile) { self.file = file }

    func release() {
        leaveContainer()
        leaveIOMMUFD()
        file = nil
    }

    func control(_ request: UInt, _ argument: Argument) throws(Errno) -> Int {
        switch request {
        case CVFIO_GROUP_GET_STATUS:
            var status = try argument.loadSized(cvfio_group_status())
            status.flags = 0
            if container != nil || iommufd != nil {
                status.flags = CVFIO_GROUP_FLAGS_CONTAINER_SET | CVFIO_GROUP_FLAGS_VIABLE
            } else if !isClaimedByHost && owner == nil {
                status.flags = CVFIO_GROUP_FLAGS_VIABLE
            }
            try argument.store(status)
        case CVFIO_GROUP_SET_CONTAINER: try setContainer(try argument.load(Int32(0)))
        case CVFIO_GROUP_UNSET_CONTAINER:
            if iommufd != nil {
                leaveIOMMUFD()
                return 0
            }
            guard container != nil else { throw .invalidArgument }
            guard deviceCount == 0 else { throw .resourceBusy }
            leaveContainer()
        case CVFIO_GROUP_GET_DEVICE_FD: return Int(try openDevice(try argument.text(limit: 4096)).rawValue)
        default: throw .inappropriateIOCTLForDevice
        }
        return 0
    }

    // MARK: Containers

    private func setContainer(_ number: Int32) throws(Errno) {
        let space = try driver.core.file(number, as: IOMMUFD.self)
        if container != nil || iommufd != nil { throw .invalidArgument }
        if let space {
            try space.operations.becomeContainer(hasIOMMU: hasIOMMU)
            space.file.hold()
            iommufd = space
            return
        }
        guard let container = try driver.core.file(number, as: Container.self)?.operations else {
            throw driver.bus.release.follows6_1 ? .invalidArgument : .badDescriptorState
        }
        // Groups with an IOMMU and groups without do not mix.
        if let other = container.groups.first, other.hasIOMMU != hasIOMMU { throw .notPermitted }
        if isClaimedByHost || owner != nil { throw .notPermitted }
        try container.add(self)
        self.container = container
    }

    private func leaveContainer() {
        container?.remove(self)
        container = nil
    }

    private func leaveIOMMUFD() {
        let left = iommufd
        iommufd = nil
        left?.file.release()
    }

    // MARK: Devices

    private func openDevice(_ name: String) throws(Errno) -> FileDescriptor {
        let function = functions.first { $0.driver == "vfio-pci" && name.hasPrefix($0.name) }
        guard let function else { throw .operationNotSupportedByDevice }
        let rest = name.dropFirst(function.name.count)
        if let next = rest.first, next != " " { throw .operationNotSupportedByDevice }
        // After the name and spaces come options, which mediated devices do not support.
        if function.isMediated && !rest.isEmpty { throw .operationNotSupportedByDevice }
        try function.checkToken(try Self.token(inOptions: rest))
        guard iommufd != nil || container?.hasDriver == true else { throw .invalidArgument }
        let isFirst = function.openCount == 0
        if isFirst, let iommufd { try bind(function, iommufd.operations) }
        let descriptor: FileDescriptor
        do throws(Errno) {
            descriptor = try driver.core.open(
                DeviceFile(function, driver, group: self, iommufd: isFirst ? iommufd : nil))
        } catch {
            unbindIfUnused(function)
            throw error
        }
        function.open()
        return descriptor
    }

    /// Binds a device to the iommufd that the group uses as its container.
    private func bind(_ function: PCIFunction, _ iommufd: IOMMUFD) throws(Errno) {
        guard hasIOMMU else {
            // An address space implies translation.
            if iommufd.containerSpace != nil { throw .notPermitted }
            return
        }
        let previous = owner
        try claim(for: iommufd)
        do throws(Errno) {
            guard let space = iommufd.containerSpace else { throw .operationNotSupportedByDevice }
            let bound = IOMMUFDDevice(function, to: iommufd)
            do throws(Errno) {
                _ = try bound.attach(to: space.id)
            } catch {
                bound.unbind()
                throw error
            }
            function.boundDevice = bound
        } catch {
            owner = previous
            throw error
        }
    }

    func deviceWasOpened() {
        deviceCount += 1
        file?.hold()
    }

    func deviceWasClosed(_ function: PCIFunction) {
        deviceCount -= 1
        unbindIfUnused(function)
        file?.release()
    }

    private func unbindIfUnused(_ function: PCIFunction) {
        guard function.openCount == 0, let bound = function.boundDevice else { return }
        bound.unbind()
        function.boundDevice = nil
        releaseOwnerIfUnused()
    }

    /// Parses the options after a device's name in `VFIO_GROUP_GET_DEVICE_FD`: spaces, and at most one token.
    private static func token(inOptions options: Substring) throws(Errno) -> [UInt8]? {
        let prefix = "vf_token="
        let length = 36
        var token: [UInt8]?
        var rest = options
        while let next = rest.first {
            if next == " " {
                rest = rest.dropFirst()
                continue
            }
            guard token == nil, rest.hasPrefix(prefix) else { throw .invalidArgument }
            rest = rest.dropFirst(prefix.count)
            guard let uuid = DeviceUUID(String(rest.prefix(length))) else { throw .invalidArgument }
            token = uuid.bytes
            rest = rest.dropFirst(length)
        }
        return token
    }
}
