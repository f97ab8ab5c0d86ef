internal import CVFIO
import SystemPackage
import VFIO

/// An IOMMU group with a device that is bound to vfio-pci, and its file, of which there is at most one.
final class VFIOGroup: FileOperations {
    /// Drivers of the kernel that do no DMA, and so may hold devices of a group that a process has.
    private static let harmlessDrivers: Set<String> = ["vfio-pci", "pci-stub", "pcieport"]

    let number: Int
    private unowned let driver: VFIODriver
    /// `false` for a group that VFIO has made up.
    var hasIOMMU = true
    private(set) weak var file: OpenFile?
    private(set) var container: Container?
    /// The iommufd that it has taken as its container.
    private(set) var iommufd: (file: OpenFile, operations: IOMMUFD)?
    /// Open devices.
    private var deviceCount = 0
    /// Devices that are bound to an iommufd by their own nodes.
    var nodeCount = 0
    /// The iommufd that owns the group's DMA, if one does.
    private(set) var owner: IOMMUFD?

    init(_ number: Int, _ driver: VFIODriver) {
        self.number = number
        self.driver = driver
    }

    var functions: [PCIFunction] { driver.bus.functions(inGroup: number) }

    /// Whether it is of a mediated device, which has no IOMMU of its own.
    var isEmulated: Bool { functions.contains(where: \.isMediated) }

    /// A device of the group is held by a driver of the kernel that does DMA.
    private var isClaimedByHost: Bool {
        functions.contains { $0.driver.map { !Self.harmlessDrivers.contains($0) } ?? false }
    }

    /// An iommufd takes the group's DMA over. `EPERM` when another owner has it.
    func claim(for iommufd: IOMMUFD) throws(Errno) {
        if isClaimedByHost || owner.map({ $0 !== iommufd }) == true { throw .notPermitted }
        owner = iommufd
    }

    /// A device of it is bound no more.
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

    /// Opens a device of the group by its name.
    private func openDevice(_ name: String) throws(Errno) -> FileDescriptor {
        let function = functions.first { $0.driver == "vfio-pci" && name.hasPrefix($0.name) }
        guard let function else { throw .operationNotSupportedByDevice }
        let rest = name.dropFirst(function.name.count)
        if let next = rest.first, next != " " { throw .operationNotSupportedByDevice }
        // What follows the name after spaces are options, which a mediated device does not take for any.
        if function.isMediated && !rest.isEmpty { throw .operationNotSupportedByDevice }
        try function.checkToken(try Self.token(inOptions: rest))
        guard iommufd != nil || container?.hasDriver == true else { throw .invalidArgument }
        let isFirst = function.openCount == 0
        if isFirst, let iommufd { try bind(function, iommufd.operations) }
        let descriptor = try driver.core.open(
            DeviceFile(function, driver, group: self, iommufd: isFirst ? iommufd : nil))
        function.open()
        return descriptor
    }

    /// Puts a device into the iommufd that the group has as its container.
    private func bind(_ function: PCIFunction, _ iommufd: IOMMUFD) throws(Errno) {
        guard hasIOMMU else {
            // Who has made an address space expects translation.
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

    /// A device of the group is open, and keeps the group open.
    func deviceWasOpened() {
        deviceCount += 1
        file?.hold()
    }

    /// A device that was opened through the group is closed.
    func deviceWasClosed(_ function: PCIFunction) {
        deviceCount -= 1
        if function.openCount == 0, let bound = function.boundDevice {
            bound.unbind()
            function.boundDevice = nil
            releaseOwnerIfUnused()
        }
        file?.release()
    }

    /// Reads what follows a device's name in `VFIO_GROUP_GET_DEVICE_FD`: spaces, and no more than one token.
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
