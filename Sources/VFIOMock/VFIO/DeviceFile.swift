internal import CVFIO
import SystemPackage
import VFIO

final class DeviceFile: FileOperations {
    let function: PCIFunction
    unowned let driver: VFIODriver
    /// The group that it was opened through, whose file it holds; `nil` for one opened by its own node.
    let group: VFIOGroup?
    private var iommufd: (file: OpenFile, operations: IOMMUFD)?
    /// Whether it gives access to the device: by a node only once bound.
    private var isGranted: Bool
    private weak var file: OpenFile?

    /// By its own node.
    init(_ function: PCIFunction, _ driver: VFIODriver) {
        self.function = function
        self.driver = driver
        group = nil
        isGranted = false
    }

    /// Through its group.
    init(
        _ function: PCIFunction, _ driver: VFIODriver, group: VFIOGroup, iommufd: (file: OpenFile, operations: IOMMUFD)?
    ) {
        self.function = function
        self.driver = driver
        self.group = group
        self.iommufd = iommufd
        isGranted = true
    }

    var kind: MockOpenFile.Kind { .device(function.deviceAddress) }

    var follows6_1: Bool { driver.bus.release.follows6_1 }

    func information(_ file: OpenFile) -> String {
        follows6_1 ? "" : "vfio-device-syspath: \(function.sysfsPath)\n"
    }

    // MARK: Open and close

    func opened(as file: OpenFile) {
        self.file = file
        function.fileCount += 1
        iommufd?.file.hold()
        group?.deviceWasOpened()
    }

    func release() {
        function.fileCount -= 1
        if isGranted { function.close() }
        if let group {
            group.deviceWasClosed(function)
        } else if iommufd != nil {
            function.boundDevice?.unbind()
            function.boundDevice = nil
            function.isOpenByNode = false
            let group = driver.group(function.groupNumber)
            group.nodeCount -= 1
            group.releaseOwnerIfUnused()
        }
        iommufd?.file.release()
        driver.bus.fileWasClosed(function)
    }

    // MARK: Binding

    private func bind(_ argument: Argument) throws(Errno) {
        var bind = try argument.loadSized(cvfio_device_bind_iommufd(), argsz: 16)
        let known = MemoryLayout<cvfio_device_bind_iommufd>.size
        if Int(bind.argsz) > known,
            try argument.bytes(at: known, Int(bind.argsz) - known).contains(where: { $0 != 0 })
        {
            throw .argListTooLong
        }
        if bind.iommufd < 0 || bind.flags & ~CVFIO_DEVICE_BIND_FLAG_TOKEN != 0 { throw .invalidArgument }
        if self.group != nil { throw .invalidArgument }
        let group = driver.group(function.groupNumber)
        if group.file != nil { throw .resourceBusy }
        if isGranted { throw .invalidArgument }
        try function.checkToken(try token(of: bind, argument))
        guard let iommufd = try driver.core.file(bind.iommufd, as: IOMMUFD.self) else { throw .badDescriptorState }
        // Only one node of a device can be bound.
        if function.openCount > 0 { throw .invalidArgument }
        bind.out_devid = iommufd.operations.objects.nextID
        try group.claim(for: iommufd.operations)
        do throws(Errno) {
            try argument.store(bind, 16)
        } catch {
            group.releaseOwnerIfUnused()
            throw error
        }
        group.hasIOMMU = function.hasIOMMU
        group.nodeCount += 1
        function.boundDevice = IOMMUFDDevice(function, to: iommufd.operations)
        function.space = nil
        function.open()
        function.isOpenByNode = true
        iommufd.file.hold()
        self.iommufd = iommufd
        isGranted = true
    }

    /// The token of `VFIO_DEVICE_BIND_IOMMUFD`.
    private func token(of bind: cvfio_device_bind_iommufd, _ argument: Argument) throws(Errno) -> [UInt8]? {
        guard bind.flags & CVFIO_DEVICE_BIND_FLAG_TOKEN != 0 else { return nil }
        if function.isMediated { throw .invalidArgument }
        let pointer = try argument.load(cvfio_device_bind_iommufd(), Int(bind.argsz)).token_uuid_ptr
        return try UserMemory.bytes(pointer, 16)
    }

    private func attach(_ argument: Argument) throws(Errno) {
        var attach = try argument.loadSized(cvfio_device_attach_iommufd_pt(), argsz: 12)
        if attach.flags & ~CVFIO_DEVICE_ATTACH_PASID != 0 { throw .invalidArgument }
        guard let bound = function.boundDevice else { throw .invalidArgument }
        if attach.flags & CVFIO_DEVICE_ATTACH_PASID != 0 {
            let pasid = try argument.loadSized(cvfio_device_attach_iommufd_pt(), argsz: 16).pasid
            return try bound.attach(pasid: pasid, to: attach.pt_id)
        }
        attach.pt_id = try bound.attach(to: attach.pt_id)
        try argument.store(attach, 12)
    }

    private func detach(_ argument: Argument) throws(Errno) {
        let detach = try argument.loadSized(cvfio_device_detach_iommufd_pt(), argsz: 8)
        if detach.flags & ~CVFIO_DEVICE_DETACH_PASID != 0 { throw .invalidArgument }
        guard let bound = function.boundDevice else { return }
        if detach.flags == 0 { return bound.detach() }
        bound.detach(pasid: try argument.loadSized(cvfio_device_detach_iommufd_pt(), argsz: 12).pasid)
    }

    // MARK: Requests

    func control(_ request: UInt, _ argument: Argument) throws(Errno) -> Int {
        if request == CVFIO_DEVICE_BIND_IOMMUFD, driver.bus.release.hasDeviceNodes {
            try bind(argument)
            return 0
        }
        guard isGranted else { throw .invalidArgument }
        function.wake()
        let isAttach = request == CVFIO_DEVICE_ATTACH_IOMMUFD_PT
        if group == nil, iommufd != nil, isAttach || request == CVFIO_DEVICE_DETACH_IOMMUFD_PT {
            try isAttach ? attach(argument) : detach(argument)
            return 0
        }
        if function.isMediated, let answer = try mediatedControl(request, argument) { return answer }
        switch request {
        case CVFIO_DEVICE_GET_INFO: try info(argument)
        case CVFIO_DEVICE_GET_REGION_INFO: try regionInfo(argument)
        case CVFIO_DEVICE_GET_IRQ_INFO: try interruptInfo(argument)
        case CVFIO_DEVICE_SET_IRQS: try setInterrupts(argument)
        case CVFIO_DEVICE_RESET:
            guard function.hasReset else { throw .invalidArgument }
            function.config.powerState = 0
            PCIFunction.resetAll([function])
        case CVFIO_DEVICE_GET_PCI_HOT_RESET_INFO: try hotResetInfo(argument)
        case CVFIO_DEVICE_PCI_HOT_RESET: try hotReset(argument)
        case CVFIO_DEVICE_IOEVENTFD: try setEventWrite(argument)
        case CVFIO_DEVICE_FEATURE: return try feature(argument)
        default: throw .inappropriateIOCTLForDevice
        }
        return 0
    }

    private func info(_ argument: Argument) throws(Errno) {
        var info = try argument.loadSized(cvfio_device_info(), argsz: 16)
        info.flags = CVFIO_DEVICE_FLAGS_PCI
        if function.hasReset { info.flags |= CVFIO_DEVICE_FLAGS_RESET }
        info.num_regions = function.regionCount
        info.num_irqs = CVFIO_PCI_NUM_IRQS
        try argument.store(info, min(Int(info.argsz), MemoryLayout<cvfio_device_info>.size))
    }

    // MARK: Reading, writing and mapping

    func read(into buffer: UserBuffer, at position: inout UInt64) throws(Errno) -> Int {
        guard isGranted else { throw .invalidArgument }
        var bytes = [UInt8](repeating: 0, count: usableCount(buffer.count, at: position))
        let count = try access(position, &bytes, isWrite: false)
        try buffer.store(count == bytes.count ? bytes : Array(bytes[..<count]))
        position += UInt64(count)
        return count
    }

    func write(from buffer: UserBuffer, at position: inout UInt64) throws(Errno) -> Int {
        guard isGranted else { throw .invalidArgument }
        var bytes = try buffer.bytes(usableCount(buffer.count, at: position))
        let count = try access(position, &bytes, isWrite: true)
        position += UInt64(count)
        return count
    }

    func map(_ request: MemoryMapRequest, at offset: UInt64) throws(Errno) -> UnsafeMutableRawPointer {
        guard isGranted, let file else { throw .invalidArgument }
        let index = Int(offset >> 40)
        let start = Int(offset & (1 << 40 - 1))
        let page = driver.core.host.pageSize
        guard index < Int(CVFIO_PCI_ROM_REGION_INDEX), let memory = function.memory[index], start % page == 0,
            request.byteCount > 0, request.byteCount <= memory.byteCount
        else { throw .invalidArgument }
        let byteCount = (request.byteCount + page - 1) & ~(page - 1)
        guard start + byteCount <= memory.byteCount else { throw .invalidArgument }
        return unsafe try driver.bus.memory.mapBAR(
            memory, of: function, index, from: start, byteCount, request, isReachable: function.isReachable, file: file)
    }
}
