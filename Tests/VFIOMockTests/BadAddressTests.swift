import Glibc

/// Addresses of the process that lead nowhere are `EFAULT`, as in Linux, wherever a request holds one.
@Suite("Bad addresses") struct BadAddressTests {
    /// A page that nobody can map, below `mmap_min_addr`.
    private static let nowhere: UInt64 = 0x1000

    /// A call with such an address.
    struct Call: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let make: MockIOMMU.Make
        let body: @Sendable (Setting) throws -> Void

        init(
            _ name: String, _ make: MockIOMMU.Make = .intelVTD, _ body: @escaping @Sendable (Setting) throws -> Void
        ) {
            testDescription = name
            self.make = make
            self.body = body
        }
    }

    @Test(arguments: inRequests + inCalls) func isEFAULT(_ call: Call) {
        #expect(throws: Errno.badAddress) { try call.body(Setting(call.make)) }
    }

    /// What the kernel writes to a page that can only be read is a bad address too.
    @Test func aPageThatCannotBeWritten() throws {
        let setting = Setting(.intelVTD)
        let kernel = setting.driver.kernel
        let page = mmap(nil, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)!
        defer { munmap(page, 4096) }
        let (iommufd, ioas, device) = try setting.openIOMMUFD()
        #expect(throws: Errno.badAddress) {
            try setting.askForRanges(iommufd, ioas, 1, UInt64(UInt(bitPattern: page)))
        }
        #expect(throws: Errno.badAddress) {
            try kernel.read(device, at: 7 << 40, into: UnsafeMutableRawBufferPointer(start: page, count: 4))
        }
        // Reading from it is all that a write needs.
        #expect(try kernel.write(device, at: 7 << 40 + 4, from: UnsafeRawBufferPointer(start: page, count: 2)) == 2)
        try setting.driver.close(device, iommufd)
    }

    // MARK: In a request

    static let inRequests: [Call] = [
        Call("the ranges of an IOAS") {
            let (file, ioas, _) = try $0.openIOMMUFD()
            try $0.askForRanges(file, ioas, 8, nowhere)
        },
        Call("the ranges to allow") {
            let (file, ioas, _) = try $0.openIOMMUFD()
            try $0.ask(
                file, CIOMMU_IOAS_ALLOW_IOVAS,
                ciommu_ioas_allow_iovas(size: 24, ioas_id: ioas, num_iovas: 1, __reserved: 0, allowed_iovas: nowhere))
        },
        Call("the hardware's data") {
            var command = ciommu_hw_info()
            command.size = UInt32(MemoryLayout<ciommu_hw_info>.size)
            command.dev_id = 2
            command.data_len = 16
            command.data_uptr = nowhere
            try $0.ask(try $0.openIOMMUFD().file, CIOMMU_GET_HW_INFO, command)
        },
        Call("the data of a nested page table") {
            let (file, parent, _) = try $0.openNesting()
            try $0.makeNestedTable(
                file, over: parent, CIOMMU_HWPT_DATA_VTD_S1, MemoryLayout<ciommu_hwpt_vtd_s1>.size)
        },
        Call("the data of a page table in a virtual IOMMU", .armSMMUv3) {
            let (file, viommu, _) = try $0.openGuestIOMMU()
            try $0.makeNestedTable(
                file, over: viommu, CIOMMU_HWPT_DATA_ARM_SMMUV3, MemoryLayout<ciommu_hwpt_arm_smmuv3>.size)
        },
        Call("ranges to invalidate") {
            let (file, parent, _) = try $0.openNesting()
            let guest = (CIOMMU_HWPT_DATA_VTD_S1, [UInt8](repeating: 0, count: MemoryLayout<ciommu_hwpt_vtd_s1>.size))
            let nested = try $0.driver.ask(
                file, ABI.makePageTable(for: 2, over: parent, flags: 0, faults: nil, guest: guest))
            try $0.invalidate(
                file, nested, CIOMMU_HWPT_INVALIDATE_DATA_VTD_S1, MemoryLayout<ciommu_hwpt_vtd_s1_invalidate>.size)
        },
        Call("commands that invalidate", .armSMMUv3) {
            let (file, viommu, _) = try $0.openGuestIOMMU()
            try $0.invalidate(
                file, viommu, CIOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3,
                MemoryLayout<ciommu_viommu_arm_smmuv3_invalidate>.size)
        },
        Call("a page table's bitmap") {
            let (file, ioas, device) = try $0.openIOMMUFD()
            let driver = $0.driver
            let flags = CIOMMU_HWPT_ALLOC_DIRTY_TRACKING
            let table = try driver.ask(file, ABI.makePageTable(for: 2, over: ioas, flags: flags, faults: nil))
            try driver.ask(device, ABI.attachDevice(to: table))
            try driver.map(file, ioas, try driver.allocate(4096).baseAddress!, 4096, at: 0)
            try driver.ask(file, ABI.setDirtyTracking(of: table, true))
            try driver.setCommand(device, 6)
            try driver.transfer(device, iova: 0, 1, toMemory: true)
            try $0.ask(
                file, CIOMMU_HWPT_GET_DIRTY_BITMAP,
                ciommu_hwpt_get_dirty_bitmap(
                    size: 48, hwpt_id: table, flags: 0, __reserved: 0, iova: 0, length: 4096, page_size: 4096,
                    data: nowhere))
        },
        Call("memory for an IOAS") {
            let (file, ioas, _) = try $0.openIOMMUFD()
            try $0.driver.map(file, ioas, UnsafeMutableRawPointer(bitPattern: UInt(nowhere))!, 4096, at: 0)
        },
        Call("memory for a container") {
            let memory = UnsafeMutableRawPointer(bitPattern: UInt(nowhere))!
            try $0.driver.map($0.openContainer(), memory, 4096, at: 0)
        },
        Call("a container's bitmap") {
            let container = try $0.openContainerWithTracking()
            let words = [48, CVFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP, 0, 0, 4096, 0] + bitmap
            try $0.driver.control(container, CVFIO_IOMMU_DIRTY_PAGES, words: words)
        },
        Call("the bitmap of what is unmapped") {
            let container = try $0.openContainerWithTracking()
            let words = [48, CVFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP, 0, 0, 4096, 0] + bitmap
            try $0.driver.control(container, CVFIO_IOMMU_UNMAP_DMA, words: words)
        },
        Call("the ranges of a log") {
            let flags = CVFIO_DEVICE_FEATURE_SET | CVFIO_DEVICE_FEATURE_DMA_LOGGING_START
            let words = [32, flags, 4096, 0, 1, 0, UInt32(nowhere), 0]
            try $0.driver.control(try $0.openMediated(), CVFIO_DEVICE_FEATURE, words: words)
        },
        Call("a token") {
            let kernel = $0.driver.kernel
            let file = try kernel.open("/dev/iommu", .readWrite)
            try $0.ask(
                try kernel.open("/dev/vfio/devices/vfio2", .readWrite), CVFIO_DEVICE_BIND_IOMMUFD,
                cvfio_device_bind_iommufd(
                    argsz: 24, flags: CVFIO_DEVICE_BIND_FLAG_TOKEN, iommufd: file.rawValue, out_devid: 0,
                    token_uuid_ptr: nowhere))
        },
        Call("an attribute of KVM's") {
            let bridge = try $0.driver.ask(try $0.openVirtualMachine(), ABI.makeVFIODevice())
            try $0.ask(
                bridge, CKVM_SET_DEVICE_ATTR,
                ckvm_device_attr(flags: 0, group: CKVM_DEV_VFIO_FILE, attr: CKVM_DEV_VFIO_FILE_ADD, addr: nowhere))
        },
    ]

    /// A bitmap of type1: page size, size of the bitmap, its address.
    private static let bitmap: [UInt32] = [4096, 0, 8, 0, UInt32(nowhere), 0]

    // MARK: The buffer of the call

    private static func bad(_ count: Int) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: UnsafeMutableRawPointer(bitPattern: UInt(nowhere)), count: count)
    }

    private static func bytes(_ count: Int) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(bad(count)) }

    /// An ioctl on a structure of a length.
    private static func control(
        _ name: String, _ request: UInt, _ byteCount: Int,
        on open: @escaping @Sendable (Setting) throws -> FileDescriptor
    ) -> Call { Call(name) { _ = try $0.driver.kernel.control(try open($0), request, bad(byteCount)) } }

    static let inCalls: [Call] = [
        control("type1's properties", CVFIO_IOMMU_GET_INFO, 16) { try $0.openContainer() },
        control("a group's status", CVFIO_GROUP_GET_STATUS, 8) { try $0.open("/dev/vfio/1") },
        control("a group's container", CVFIO_GROUP_SET_CONTAINER, 4) { try $0.open("/dev/vfio/1") },
        control("a device's name", CVFIO_GROUP_GET_DEVICE_FD, 16) {
            try $0.driver.openLegacy("0000:00:02.0", group: 1).group
        },
        control("a device's properties", CVFIO_DEVICE_GET_INFO, 16) { try $0.openIOMMUFD().device },
        control("interrupts", CVFIO_DEVICE_SET_IRQS, 24) { try $0.openIOMMUFD().device },
        control("a hot reset", CVFIO_DEVICE_PCI_HOT_RESET, 16) { try $0.openIOMMUFD().device },
        control("a feature", CVFIO_DEVICE_FEATURE, 8) { try $0.openIOMMUFD().device },
        control("a request of iommufd's", CIOMMU_IOAS_ALLOC, 12) { try $0.open("/dev/iommu") },
        control("a dma-buf's name", CDMA_BUF_SET_NAME_B, 8) { try $0.openDMABuf() },
        control("a dma-buf's access", CDMA_BUF_IOCTL_SYNC, 8) { try $0.openDMABuf() },
        control("a request of KVM's", CKVM_IRQFD, 32) { try $0.openVirtualMachine() },
        control("a stream's progress", CVFIO_MIG_GET_PRECOPY_INFO, 24) {
            try $0.openStream(CVFIO_DEVICE_STATE_PRE_COPY)
        },
        Call("read of a register") { _ = try $0.driver.kernel.read(try $0.openIOMMUFD().device, at: 0, into: bad(4)) },
        Call("write of a register") {
            _ = try $0.driver.kernel.write(try $0.openIOMMUFD().device, at: 4, from: bytes(4))
        },
        Call("read of config space") {
            _ = try $0.driver.kernel.read(try $0.openIOMMUFD().device, at: 7 << 40, into: bad(4))
        },
        Call("write of config space") {
            _ = try $0.driver.kernel.write(try $0.openIOMMUFD().device, at: 7 << 40 + 4, from: bytes(2))
        },
        Call("read without an offset") { _ = try $0.driver.kernel.read(try $0.openIOMMUFD().device, into: bad(4)) },
        Call("read of page requests") {
            let queue = try $0.openFaultQueue()
            try #require($0.machine.requestPage(at: 0x1000, .read, by: "0000:00:02.0") != nil)
            _ = try $0.driver.kernel.read(queue, into: bad(MemoryLayout<ciommu_hwpt_pgfault>.size))
        },
        Call("answers to page requests") {
            let byteCount = MemoryLayout<ciommu_hwpt_page_response>.size
            _ = try $0.driver.kernel.write(try $0.openFaultQueue(), from: bytes(byteCount))
        },
        Call("read of events", .armSMMUv3) {
            let (file, viommu, device) = try $0.openGuestIOMMU()
            let driver = $0.driver
            let type = CIOMMU_VEVENTQ_TYPE_ARM_SMMUV3
            let queue = try driver.ask(file, ABI.makeEventQueue(in: viommu, type: type, depth: 1))
            try driver.ask(file, ABI.makeVirtualDevice(2, in: viommu, number: 7))
            // A stream table entry that bypasses.
            let guest = (CIOMMU_HWPT_DATA_ARM_SMMUV3, ABI.bytes([0b1001, 0] as [UInt64]))
            let request = ABI.makePageTable(for: 2, over: viommu, flags: 0, faults: nil, guest: guest)
            try driver.ask(device, ABI.attachDevice(to: try driver.ask(file, request)))
            try #require($0.machine.reportEvent([1, 2, 3, 4], about: "0000:00:02.0"))
            _ = try driver.kernel.read(queue.descriptor, into: bad(64))
        },
        Call("read of a stream") {
            _ = try $0.driver.kernel.read(try $0.openStream(CVFIO_DEVICE_STATE_PRE_COPY), into: bad(16))
        },
        Call("write of a stream") {
            _ = try $0.driver.kernel.write(try $0.openStream(CVFIO_DEVICE_STATE_RESUMING), from: bytes(16))
        },
    ]

    // MARK: A machine

    /// A machine of its own for each call, with edu, memory, a device with a token, and one that can migrate.
    struct Setting {
        let machine: MockMachine
        let driver: Driver

        init(_ make: MockIOMMU.Make) {
            var iommu = MockIOMMU()
            iommu.make = make
            iommu.nests = true
            iommu.tracksDirtyPages = true
            iommu.takesPageRequests = true
            machine = MockMachine(iommu: iommu)
            driver = Driver(machine)
            machine.plug(EduModel(dmaMask: .max), at: "0000:00:02.0")
            machine.plug(SharedMemoryModel(), at: "0000:00:03.0")
            machine.plug(NVMePhysicalFunctionModel(), at: "0000:02:00.0")
            machine.addMediatedParent("mtty", types: ["mtty-1": { SerialPortModel() }])
        }

        func ask<Structure>(_ file: FileDescriptor, _ request: UInt, _ structure: Structure) throws(Errno) {
            var structure = structure
            try driver.control(file, request, &structure)
        }

        func open(_ path: FilePath) throws(Errno) -> FileDescriptor { try driver.kernel.open(path, .readWrite) }

        func openContainer() throws(Errno) -> FileDescriptor {
            try driver.openLegacy("0000:00:02.0", group: 1).container
        }

        func openContainerWithTracking() throws(Errno) -> FileDescriptor {
            let container = try openContainer()
            try driver.map(container, try driver.allocate(4096).baseAddress!, 4096, at: 0)
            try driver.ask(container, ABI.trackDirtyPages(true))
            return container
        }

        func openDMABuf() throws(Errno) -> FileDescriptor {
            try driver.export(try driver.openLegacy("0000:00:03.0", group: 2).device, bar: 2, 0..<4096)
        }

        func openVirtualMachine() throws(Errno) -> FileDescriptor {
            FileDescriptor(
                rawValue: Int32(try driver.kernel.control(try open("/dev/kvm"), CKVM_CREATE_VM, value: 0)))
        }

        /// A device that can migrate, through its group.
        func openMediated() throws(Errno) -> FileDescriptor {
            let name = "bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3"
            try driver.kernel.writeFile(
                "/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/create", Array(name.utf8))
            let (container, group) = (try open("/dev/vfio/vfio"), try open("/dev/vfio/4"))
            try driver.ask(group, ABI.setContainer(container))
            try driver.ask(container, ABI.setIOMMU(CVFIO_TYPE1v2_IOMMU))
            return try driver.ask(group, ABI.getGroupDevice(name))
        }

        func openStream(_ state: UInt32) throws -> FileDescriptor {
            let device = try openMediated()
            if state == CVFIO_DEVICE_STATE_RESUMING {
                try driver.ask(device, ABI.setMigrationState(CVFIO_DEVICE_STATE_STOP))
            }
            return try #require(try driver.ask(device, ABI.setMigrationState(state)))
        }

        // MARK: iommufd

        /// An iommufd with an address space, and the device edu attached to it: objects 1 and 2.
        func openIOMMUFD() throws(Errno) -> (file: FileDescriptor, ioas: UInt32, device: FileDescriptor) {
            let (file, ioas) = try driver.openIOMMUFD()
            return (file, ioas, try driver.openNode(0, file, ioas: ioas))
        }

        /// The same, with a page table for others to be nested in.
        func openNesting() throws(Errno) -> (file: FileDescriptor, parent: UInt32, device: FileDescriptor) {
            let (file, ioas, device) = try openIOMMUFD()
            let flags = CIOMMU_HWPT_ALLOC_NEST_PARENT
            return (
                file, try driver.ask(file, ABI.makePageTable(for: 2, over: ioas, flags: flags, faults: nil)), device
            )
        }

        /// The same, with a virtual IOMMU over it.
        func openGuestIOMMU() throws(Errno) -> (file: FileDescriptor, viommu: UInt32, device: FileDescriptor) {
            let (file, parent, device) = try openNesting()
            let kind: ABI.TypedData = (CIOMMU_VIOMMU_TYPE_ARM_SMMUV3, [])
            return (file, try driver.ask(file, ABI.makeVirtualIOMMU(for: 2, over: parent, kind)).id, device)
        }

        func openFaultQueue() throws(Errno) -> FileDescriptor {
            let (file, ioas, device) = try openIOMMUFD()
            let queue = try driver.ask(file, ABI.makeFaultQueue())
            let table = try driver.ask(file, ABI.makePageTable(for: 2, over: ioas, flags: 0, faults: queue.id))
            try driver.ask(device, ABI.attachDevice(to: table))
            return queue.descriptor
        }

        func askForRanges(_ file: FileDescriptor, _ ioas: UInt32, _ count: UInt32, _ address: UInt64) throws(Errno) {
            try ask(
                file, CIOMMU_IOAS_IOVA_RANGES,
                ciommu_ioas_iova_ranges(
                    size: 32, ioas_id: ioas, num_iovas: count, __reserved: 0, allowed_iovas: address,
                    out_iova_alignment: 0))
        }

        /// Makes a page table in another, with data that is nowhere.
        func makeNestedTable(_ file: FileDescriptor, over parent: UInt32, _ type: UInt32, _ byteCount: Int)
            throws(Errno)
        {
            try ask(
                file, CIOMMU_HWPT_ALLOC,
                ciommu_hwpt_alloc(
                    size: UInt32(MemoryLayout<ciommu_hwpt_alloc>.size), flags: 0, dev_id: 2, pt_id: parent,
                    out_hwpt_id: 0, __reserved: 0, data_type: type, data_len: UInt32(byteCount), data_uptr: nowhere,
                    fault_id: 0, __reserved2: 0))
        }

        /// Invalidates an entry that is nowhere.
        func invalidate(_ file: FileDescriptor, _ table: UInt32, _ type: UInt32, _ byteCount: Int) throws(Errno) {
            try ask(
                file, CIOMMU_HWPT_INVALIDATE,
                ciommu_hwpt_invalidate(
                    size: 32, hwpt_id: table, data_uptr: nowhere, data_type: type, entry_len: UInt32(byteCount),
                    entry_num: 1, __reserved: 0))
        }
    }
}
