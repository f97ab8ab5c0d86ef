import CVFIO
import Glibc
import SystemPackage
import Testing
import VFIO
import VFIOMock

/// Addresses of the process that lead nowhere are `EFAULT`, as in Linux, wherever a request holds one.
@Suite("Bad addresses") struct BadAddressTests {
    /// A page that nobody can map, below `mmap_min_addr`.
    static let nowhere: UInt64 = 0x1000

    /// The requests that hold an address.
    enum Pointer: String, CaseIterable, Sendable {
        case iovaRanges, allowIOVAs, hardwareInfo, pageTableData, nestedPageTableData, invalidation, commandInvalidation
        case dirtyBitmap, map, type1Map, type1Bitmap, type1UnmapBitmap, loggingRanges, token, kvmAttribute
    }

    /// The calls whose buffer itself leads nowhere.
    enum Buffer: String, CaseIterable, Sendable {
        case container, group, setContainer, deviceName, device, setInterrupts, hotReset, feature, iommufd, dmaBufName
        case dmaBufSync, kvm, migration
        case readRegister, writeRegister, readConfig, writeConfig, readDevice
        case readFaults, writeFaults, readEvents, readStream, writeStream
    }

    @Test(arguments: Pointer.allCases) func insideOfARequest(_ pointer: Pointer) throws {
        let error = #expect(throws: Errno.self) { try Self.use(pointer) }
        #expect(error == .badAddress)
    }

    @Test(arguments: Buffer.allCases) func ofTheCallItself(_ buffer: Buffer) throws {
        let error = #expect(throws: Errno.self) { try Self.use(buffer) }
        #expect(error == .badAddress)
    }

    /// What the kernel writes to a page that can only be read is a bad address too.
    @Test func aPageThatCannotBeWritten() throws {
        let driver = Driver(Self.machine())
        let page = mmap(nil, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)!
        defer { munmap(page, 4096) }
        let iommufd = try driver.kernel.open("/dev/iommu", .readWrite)
        let ioas = try driver.makeIOAS(iommufd)
        var ranges = ciommu_ioas_iova_ranges()
        ranges.size = 32
        ranges.ioas_id = ioas
        ranges.num_iovas = 1
        ranges.allowed_iovas = UInt64(UInt(bitPattern: page))
        #expect(throws: Errno.badAddress) { try driver.control(iommufd, CIOMMU_IOAS_IOVA_RANGES, &ranges) }
        let device = try driver.openNode(0, iommufd, ioas: ioas)
        #expect(throws: Errno.badAddress) {
            try driver.kernel.read(device, at: 7 << 40, into: UnsafeMutableRawBufferPointer(start: page, count: 4))
        }
        // Reading from it is all that a write needs.
        #expect(
            try driver.kernel.write(device, at: 7 << 40 + 4, from: UnsafeRawBufferPointer(start: page, count: 2)) == 2)
        try driver.close(device, iommufd)
    }

    // MARK: Inside of a request

    private static func machine(_ make: MockIOMMU.Make = .intelVTD) -> MockMachine {
        var iommu = MockIOMMU()
        iommu.make = make
        iommu.nests = true
        iommu.tracksDirtyPages = true
        iommu.takesPageRequests = true
        let machine = MockMachine(iommu: iommu)
        machine.plug(EduModel(dmaMask: .max), at: "0000:00:02.0")
        machine.plug(SharedMemoryModel(), at: "0000:00:03.0")
        machine.plug(NVMePhysicalFunctionModel(), at: "0000:02:00.0")
        machine.addMediatedParent("mtty", types: ["mtty-1": { SerialPortModel() }])
        return machine
    }

    /// An iommufd with an address space, and the device edu attached to it: number 1 and 2 in it.
    private static func openIOMMUFD(
        _ driver: Driver
    ) throws(Errno) -> (file: FileDescriptor, ioas: UInt32, device: FileDescriptor) {
        let file = try driver.kernel.open("/dev/iommu", .readWrite)
        let ioas = try driver.makeIOAS(file)
        return (file, ioas, try driver.openNode(0, file, ioas: ioas))
    }

    private static func makePageTable(
        _ driver: Driver, _ file: FileDescriptor, over: UInt32, flags: UInt32, type: UInt32 = 0, byteCount: UInt32 = 0,
        _ data: UInt64 = 0
    ) throws(Errno) -> UInt32 {
        var command = ciommu_hwpt_alloc()
        command.size = UInt32(MemoryLayout<ciommu_hwpt_alloc>.size)
        command.flags = flags
        command.dev_id = 2
        command.pt_id = over
        command.data_type = type
        command.data_len = byteCount
        command.data_uptr = data
        try driver.control(file, CIOMMU_HWPT_ALLOC, &command)
        return command.out_hwpt_id
    }

    private static func makeGuestIOMMU(
        _ driver: Driver, _ file: FileDescriptor, over parent: UInt32
    ) throws(Errno) -> UInt32 {
        var command = ciommu_viommu_alloc()
        command.size = UInt32(MemoryLayout<ciommu_viommu_alloc>.size)
        command.type = CIOMMU_VIOMMU_TYPE_ARM_SMMUV3
        command.dev_id = 2
        command.hwpt_id = parent
        try driver.control(file, CIOMMU_VIOMMU_ALLOC, &command)
        return command.out_viommu_id
    }

    private static func invalidate(
        _ driver: Driver, _ file: FileDescriptor, _ table: UInt32, type: UInt32, entry: Int
    ) throws(Errno) {
        var command = ciommu_hwpt_invalidate()
        command.size = UInt32(MemoryLayout<ciommu_hwpt_invalidate>.size)
        command.hwpt_id = table
        command.data_uptr = nowhere
        command.data_type = type
        command.entry_len = UInt32(entry)
        command.entry_num = 1
        try driver.control(file, CIOMMU_HWPT_INVALIDATE, &command)
    }

    private static func attach(
        _ driver: Driver, _ device: FileDescriptor, to table: UInt32
    ) throws(Errno) {
        var attach = cvfio_device_attach_iommufd_pt()
        attach.argsz = 12
        attach.pt_id = table
        try driver.control(device, CVFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach)
    }

    private static func use(_ pointer: Pointer) throws {
        let driver = Driver(
            machine(pointer == .nestedPageTableData || pointer == .commandInvalidation ? .armSMMUv3 : .intelVTD))
        switch pointer {
        case .iovaRanges:
            let (file, ioas, _) = try openIOMMUFD(driver)
            var command = ciommu_ioas_iova_ranges()
            command.size = 32
            command.ioas_id = ioas
            command.num_iovas = 8
            command.allowed_iovas = nowhere
            try driver.control(file, CIOMMU_IOAS_IOVA_RANGES, &command)
        case .allowIOVAs:
            let (file, ioas, _) = try openIOMMUFD(driver)
            var command = ciommu_ioas_allow_iovas()
            command.size = 24
            command.ioas_id = ioas
            command.num_iovas = 1
            command.allowed_iovas = nowhere
            try driver.control(file, CIOMMU_IOAS_ALLOW_IOVAS, &command)
        case .hardwareInfo:
            let (file, _, _) = try openIOMMUFD(driver)
            var command = ciommu_hw_info()
            command.size = UInt32(MemoryLayout<ciommu_hw_info>.size)
            command.dev_id = 2
            command.data_len = 16
            command.data_uptr = nowhere
            try driver.control(file, CIOMMU_GET_HW_INFO, &command)
        case .pageTableData:
            let (file, ioas, _) = try openIOMMUFD(driver)
            let parent = try makePageTable(driver, file, over: ioas, flags: CIOMMU_HWPT_ALLOC_NEST_PARENT)
            _ = try makePageTable(
                driver, file, over: parent, flags: 0, type: CIOMMU_HWPT_DATA_VTD_S1,
                byteCount: UInt32(MemoryLayout<ciommu_hwpt_vtd_s1>.size), nowhere)
        case .nestedPageTableData:
            let (file, ioas, _) = try openIOMMUFD(driver)
            let parent = try makePageTable(driver, file, over: ioas, flags: CIOMMU_HWPT_ALLOC_NEST_PARENT)
            _ = try makePageTable(
                driver, file, over: try makeGuestIOMMU(driver, file, over: parent), flags: 0,
                type: CIOMMU_HWPT_DATA_ARM_SMMUV3, byteCount: UInt32(MemoryLayout<ciommu_hwpt_arm_smmuv3>.size), nowhere
            )
        case .invalidation:
            let (file, ioas, _) = try openIOMMUFD(driver)
            let parent = try makePageTable(driver, file, over: ioas, flags: CIOMMU_HWPT_ALLOC_NEST_PARENT)
            let data = [UInt64](repeating: 0, count: 4)
            let nested = try data.withUnsafeBytes { bytes in
                try makePageTable(
                    driver, file, over: parent, flags: 0, type: CIOMMU_HWPT_DATA_VTD_S1,
                    byteCount: UInt32(MemoryLayout<ciommu_hwpt_vtd_s1>.size),
                    UInt64(UInt(bitPattern: bytes.baseAddress)))
            }
            try invalidate(
                driver, file, nested, type: CIOMMU_HWPT_INVALIDATE_DATA_VTD_S1,
                entry: MemoryLayout<ciommu_hwpt_vtd_s1_invalidate>.size)
        case .commandInvalidation:
            let (file, ioas, _) = try openIOMMUFD(driver)
            let parent = try makePageTable(driver, file, over: ioas, flags: CIOMMU_HWPT_ALLOC_NEST_PARENT)
            try invalidate(
                driver, file, try makeGuestIOMMU(driver, file, over: parent),
                type: CIOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3,
                entry: MemoryLayout<ciommu_viommu_arm_smmuv3_invalidate>.size)
        case .dirtyBitmap:
            let (file, ioas, device) = try openIOMMUFD(driver)
            let table = try makePageTable(driver, file, over: ioas, flags: CIOMMU_HWPT_ALLOC_DIRTY_TRACKING)
            try attach(driver, device, to: table)
            try driver.map(file, ioas, try driver.allocate(4096).baseAddress!, 4096, at: 0)
            var tracking = ciommu_hwpt_set_dirty_tracking()
            tracking.size = 16
            tracking.hwpt_id = table
            tracking.flags = CIOMMU_HWPT_DIRTY_TRACKING_ENABLE
            try driver.control(file, CIOMMU_HWPT_SET_DIRTY_TRACKING, &tracking)
            try driver.setCommand(device, 6)
            try driver.transfer(device, iova: 0, 1, toMemory: true)
            var command = ciommu_hwpt_get_dirty_bitmap()
            command.size = UInt32(MemoryLayout<ciommu_hwpt_get_dirty_bitmap>.size)
            command.hwpt_id = table
            command.length = 4096
            command.page_size = 4096
            command.data = nowhere
            try driver.control(file, CIOMMU_HWPT_GET_DIRTY_BITMAP, &command)
        case .map:
            let (file, ioas, _) = try openIOMMUFD(driver)
            try driver.map(file, ioas, UnsafeMutableRawPointer(bitPattern: UInt(nowhere))!, 4096, at: 0)
        case .type1Map:
            let (container, _, _) = try driver.openLegacy("0000:00:02.0", group: 1)
            try driver.map(container, UnsafeMutableRawPointer(bitPattern: UInt(nowhere))!, 4096, at: 0)
        case .type1Bitmap, .type1UnmapBitmap:
            let (container, _, _) = try driver.openLegacy("0000:00:02.0", group: 1)
            try driver.map(container, try driver.allocate(4096).baseAddress!, 4096, at: 0)
            let start: [UInt32] = [8, CVFIO_IOMMU_DIRTY_PAGES_FLAG_START]
            _ = try driver.control(container, CVFIO_IOMMU_DIRTY_PAGES, bytes: Driver.bytes(start))
            // Page size, size of the bitmap, its address.
            let bitmap: [UInt32] = [4096, 0, 8, 0, UInt32(nowhere), 0]
            if pointer == .type1Bitmap {
                let get: [UInt32] = [48, CVFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP, 0, 0, 4096, 0] + bitmap
                _ = try driver.control(container, CVFIO_IOMMU_DIRTY_PAGES, bytes: Driver.bytes(get))
            } else {
                let unmap: [UInt32] = [48, CVFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP, 0, 0, 4096, 0] + bitmap
                _ = try driver.control(container, CVFIO_IOMMU_UNMAP_DMA, bytes: Driver.bytes(unmap))
            }
        case .loggingRanges:
            let start: [UInt32] = [
                32, CVFIO_DEVICE_FEATURE_SET | CVFIO_DEVICE_FEATURE_DMA_LOGGING_START, 4096, 0, 1, 0, UInt32(nowhere),
                0,
            ]
            _ = try driver.control(try openMediated(driver), CVFIO_DEVICE_FEATURE, bytes: Driver.bytes(start))
        case .token:
            let file = try driver.kernel.open("/dev/iommu", .readWrite)
            let device = try driver.kernel.open("/dev/vfio/devices/vfio2", .readWrite)
            var bind = cvfio_device_bind_iommufd()
            bind.argsz = 24
            bind.flags = CVFIO_DEVICE_BIND_FLAG_TOKEN
            bind.iommufd = file.rawValue
            bind.token_uuid_ptr = nowhere
            try driver.control(device, CVFIO_DEVICE_BIND_IOMMUFD, &bind)
        case .kvmAttribute:
            let guest = try openVirtualMachine(driver)
            var create = ckvm_create_device()
            create.type = CKVM_DEV_TYPE_VFIO
            try driver.control(guest, CKVM_CREATE_DEVICE, &create)
            var attribute = ckvm_device_attr()
            attribute.group = CKVM_DEV_VFIO_FILE
            attribute.attr = CKVM_DEV_VFIO_FILE_ADD
            attribute.addr = nowhere
            let bridge = FileDescriptor(rawValue: Int32(bitPattern: create.fd))
            try driver.control(bridge, CKVM_SET_DEVICE_ATTR, &attribute)
        }
    }

    // MARK: The buffer of the call

    private static func openVirtualMachine(_ driver: Driver) throws(Errno) -> FileDescriptor {
        let kvm = try driver.kernel.open("/dev/kvm", .readWrite)
        return FileDescriptor(rawValue: Int32(try driver.kernel.control(kvm, CKVM_CREATE_VM, value: 0)))
    }

    /// A device that can migrate, through its group.
    private static func openMediated(_ driver: Driver) throws(Errno) -> FileDescriptor {
        let name = "bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3"
        try driver.kernel.writeFile(
            "/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/create", Array(name.utf8))
        let container = try driver.kernel.open("/dev/vfio/vfio", .readWrite)
        let group = try driver.kernel.open("/dev/vfio/4", .readWrite)
        var number = container.rawValue
        try driver.control(group, CVFIO_GROUP_SET_CONTAINER, &number)
        _ = try driver.kernel.control(container, CVFIO_SET_IOMMU, value: CVFIO_TYPE1v2_IOMMU)
        return FileDescriptor(
            rawValue: Int32(try driver.control(group, CVFIO_GROUP_GET_DEVICE_FD, bytes: Array(name.utf8) + [0])))
    }

    private static func openStream(_ driver: Driver, _ state: UInt32) throws(Errno) -> FileDescriptor {
        let device = try openMediated(driver)
        let steps = state == CVFIO_DEVICE_STATE_RESUMING ? [CVFIO_DEVICE_STATE_STOP, state] : [state]
        var file: Int32 = -1
        for step in steps {
            var feature = (
                cvfio_device_feature(
                    argsz: 16, flags: CVFIO_DEVICE_FEATURE_SET | CVFIO_DEVICE_FEATURE_MIG_DEVICE_STATE),
                cvfio_device_feature_mig_state(device_state: step, data_fd: -1)
            )
            try driver.control(device, CVFIO_DEVICE_FEATURE, &feature)
            file = feature.1.data_fd
        }
        return FileDescriptor(rawValue: file)
    }

    private static func makeFaultQueue(_ driver: Driver) throws(Errno) -> FileDescriptor {
        let (file, ioas, device) = try openIOMMUFD(driver)
        var queue = ciommu_fault_alloc()
        queue.size = 16
        try driver.control(file, CIOMMU_FAULT_QUEUE_ALLOC, &queue)
        var table = ciommu_hwpt_alloc()
        table.size = UInt32(MemoryLayout<ciommu_hwpt_alloc>.size)
        table.flags = CIOMMU_HWPT_FAULT_ID_VALID
        table.dev_id = 2
        table.pt_id = ioas
        table.fault_id = queue.out_fault_id
        try driver.control(file, CIOMMU_HWPT_ALLOC, &table)
        try attach(driver, device, to: table.out_hwpt_id)
        return FileDescriptor(rawValue: Int32(bitPattern: queue.out_fault_fd))
    }

    private static func use(_ buffer: Buffer) throws {
        let machine = machine(buffer == .readEvents ? .armSMMUv3 : .intelVTD)
        let driver = Driver(machine)
        let kernel = driver.kernel
        let place = UnsafeMutableRawPointer(bitPattern: UInt(nowhere))
        func bad(_ count: Int) -> UnsafeMutableRawBufferPointer { .init(start: place, count: count) }
        func edu() throws -> FileDescriptor { try openIOMMUFD(driver).device }
        func memory() throws -> FileDescriptor {
            try driver.export(try driver.openLegacy("0000:00:03.0", group: 2).device, bar: 2, [(0, 4096)])
        }
        switch buffer {
        case .container:
            let (container, _, _) = try driver.openLegacy("0000:00:02.0", group: 1)
            _ = try kernel.control(container, CVFIO_IOMMU_GET_INFO, bad(16))
        case .group: _ = try kernel.control(try kernel.open("/dev/vfio/1", .readWrite), CVFIO_GROUP_GET_STATUS, bad(8))
        case .setContainer:
            _ = try kernel.control(try kernel.open("/dev/vfio/1", .readWrite), CVFIO_GROUP_SET_CONTAINER, bad(4))
        case .deviceName:
            let (_, group, _) = try driver.openLegacy("0000:00:02.0", group: 1)
            _ = try kernel.control(group, CVFIO_GROUP_GET_DEVICE_FD, bad(16))
        case .device: _ = try kernel.control(try edu(), CVFIO_DEVICE_GET_INFO, bad(16))
        case .setInterrupts: _ = try kernel.control(try edu(), CVFIO_DEVICE_SET_IRQS, bad(24))
        case .hotReset: _ = try kernel.control(try edu(), CVFIO_DEVICE_PCI_HOT_RESET, bad(16))
        case .feature: _ = try kernel.control(try edu(), CVFIO_DEVICE_FEATURE, bad(8))
        case .iommufd:
            _ = try kernel.control(try kernel.open("/dev/iommu", .readWrite), CIOMMU_IOAS_ALLOC, bad(12))
        case .dmaBufName: _ = try kernel.control(try memory(), CDMA_BUF_SET_NAME_B, bad(8))
        case .dmaBufSync: _ = try kernel.control(try memory(), CDMA_BUF_IOCTL_SYNC, bad(8))
        case .kvm: _ = try kernel.control(try openVirtualMachine(driver), CKVM_IRQFD, bad(32))
        case .migration:
            _ = try kernel.control(
                try openStream(driver, CVFIO_DEVICE_STATE_PRE_COPY), CVFIO_MIG_GET_PRECOPY_INFO, bad(24))
        case .readRegister: _ = try kernel.read(try edu(), at: 0, into: bad(4))
        case .writeRegister: _ = try kernel.write(try edu(), at: 4, from: UnsafeRawBufferPointer(bad(4)))
        case .readConfig: _ = try kernel.read(try edu(), at: 7 << 40, into: bad(4))
        case .writeConfig: _ = try kernel.write(try edu(), at: 7 << 40 + 4, from: UnsafeRawBufferPointer(bad(2)))
        case .readDevice: _ = try kernel.read(try edu(), into: bad(4))
        case .readFaults:
            let queue = try makeFaultQueue(driver)
            try #require(machine.requestPage(at: 0x1000, .read, by: "0000:00:02.0") != nil)
            _ = try kernel.read(queue, into: bad(MemoryLayout<ciommu_hwpt_pgfault>.size))
        case .writeFaults:
            _ = try kernel.write(
                try makeFaultQueue(driver),
                from: UnsafeRawBufferPointer(bad(MemoryLayout<ciommu_hwpt_page_response>.size)))
        case .readEvents:
            let (file, ioas, device) = try openIOMMUFD(driver)
            let parent = try makePageTable(driver, file, over: ioas, flags: CIOMMU_HWPT_ALLOC_NEST_PARENT)
            var queue = ciommu_veventq_alloc()
            queue.size = UInt32(MemoryLayout<ciommu_veventq_alloc>.size)
            queue.viommu_id = try makeGuestIOMMU(driver, file, over: parent)
            queue.type = CIOMMU_VEVENTQ_TYPE_ARM_SMMUV3
            queue.veventq_depth = 1
            try driver.control(file, CIOMMU_VEVENTQ_ALLOC, &queue)
            var name = ciommu_vdevice_alloc()
            name.size = UInt32(MemoryLayout<ciommu_vdevice_alloc>.size)
            name.viommu_id = queue.viommu_id
            name.dev_id = 2
            name.virt_id = 7
            try driver.control(file, CIOMMU_VDEVICE_ALLOC, &name)
            // A stream table entry that bypasses.
            let entry: [UInt64] = [0b1001, 0]
            let nested = try entry.withUnsafeBytes { bytes in
                try makePageTable(
                    driver, file, over: queue.viommu_id, flags: 0, type: CIOMMU_HWPT_DATA_ARM_SMMUV3, byteCount: 16,
                    UInt64(UInt(bitPattern: bytes.baseAddress)))
            }
            try attach(driver, device, to: nested)
            try #require(machine.reportEvent([1, 2, 3, 4], about: "0000:00:02.0"))
            _ = try kernel.read(FileDescriptor(rawValue: Int32(bitPattern: queue.out_veventq_fd)), into: bad(64))
        case .readStream: _ = try kernel.read(try openStream(driver, CVFIO_DEVICE_STATE_PRE_COPY), into: bad(16))
        case .writeStream:
            _ = try kernel.write(
                try openStream(driver, CVFIO_DEVICE_STATE_RESUMING), from: UnsafeRawBufferPointer(bad(16)))
        }
    }
}
