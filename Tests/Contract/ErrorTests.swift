@testable import VFIO

/// What the user reads when something is refused, to the letter.
extension Contract.ErrorTests {
    private func expectMessage(
        _ message: String, sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Void
    ) {
        let error = #expect(throws: VFIOError.self, sourceLocation: sourceLocation) { try body() }
        if let error { #expect(error.description == message, sourceLocation: sourceLocation) }
    }

    @Test("of mappings", arguments: Scenario.all)
    func mappings(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        let request = scenario.usesIOMMUFD ? "IOMMU_IOAS_MAP" : "VFIO_IOMMU_MAP_DMA"
        let device = try Device(at: bench.edu, in: space)
        let buffer = try space.allocate(byteCount: 8192, placement: .fixed(0x10_0000))
        expectMessage(
            "cannot allocate a DMA buffer (\(request)) for IOVA 0x101000...0x101fff: File exists (EEXIST): "
                + "0x100000...0x101fff is mapped already"
        ) { _ = try space.allocate(byteCount: 4096, placement: .fixed(0x10_1000)) }
        expectMessage(
            "cannot allocate a DMA buffer for IOVA 0x100800: the IOVA has to be a multiple of 4096"
        ) { _ = try space.allocate(byteCount: 4096, placement: .fixed(0x10_0800)) }
        expectMessage(
            "cannot allocate a DMA buffer for 8192 bytes at IOVA 0xfffffffffffff000: "
                + "the range leaves the 64-bit space"
        ) { _ = try space.allocate(byteCount: 8192, placement: .fixed(0xffff_ffff_ffff_f000)) }
        expectMessage("cannot allocate a DMA buffer for 0 bytes: a buffer has at least one byte") {
            _ = try space.allocate(byteCount: 0)
        }
        expectMessage("cannot allocate a DMA buffer for access []: " + "a mapping is for reading, writing or both") {
            _ = try space.allocate(byteCount: 4096, access: [])
        }
        expectMessage("cannot allocate a DMA buffer for 4096 bytes: an address has 1 to 64 bits, not 65") {
            _ = try space.allocate(byteCount: 4096, placement: .addressWidth(65))
        }
        try closeAll(buffer, device)
    }

    @Test("of devices", arguments: Scenario.all)
    func devices(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        let device = try Device(at: bench.memory, in: space)
        expectMessage("cannot open the device for 0000:00:15.0: the machine has no device at this address") {
            _ = try Device(at: "0000:00:15.0", in: space)
        }
        expectMessage(
            "cannot reset the device (VFIO_DEVICE_RESET) for 0000:00:03.0: "
                + "it has no FLR, and nothing else resets it alone"
        ) { try device.reset() }
        expectMessage(
            "cannot map the region (mmap) for BAR 1 of 0000:00:03.0: the device does not implement it"
        ) { _ = try device.map(.bar1) }
        expectMessage(
            "cannot map the region (mmap) for BAR 2 of 0000:00:03.0: it has 16777216 bytes, not 0..<33554432"
        ) { _ = try device.map(.bar2, 0..<(32 << 20)) }
        expectMessage(
            "cannot ask for the region (VFIO_DEVICE_GET_REGION_INFO) for region 9 of 0000:00:03.0: "
                + "the device has the regions 0 to 8"
        ) { _ = try device.region(RegionIndex(rawValue: 9)) }
        expectMessage(
            "cannot enable vector 0 (VFIO_DEVICE_SET_IRQS) for MSI of 0000:00:03.0: "
                + "the device has no interrupts of this kind"
        ) { _ = try device.enable(.msi) }
        expectMessage(
            "cannot read 2 bytes at 0x1 for config space of 0000:00:03.0: the offset has to be a multiple of 2"
        ) { _ = try device.read { try $0.read16(at: 1) } }
        try device.setMemoryDecode(false)
        expectMessage(
            "cannot map the region (mmap) for 0000:00:03.0: "
                + "switch memory decode on in the command register, and the device into D0, first"
        ) { _ = try device.map(.bar2) }
        try device.setMemoryDecode(true)
        try device.close()
    }

    @Test("of a second owner", arguments: Scenario.all)
    func busy(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.edu, in: bench.makeSpace())
        let group = try bench.kernel.readLink(FilePath("/sys/bus/pci/devices/\(bench.edu)/iommu_group"))
        let message =
            scenario.usesIOMMUFD
            ? "cannot bind the device to the iommufd (VFIO_DEVICE_BIND_IOMMUFD) for 0000:00:02.0: "
                + "Invalid argument (EINVAL): the device is open already, here or in another program"
            : "cannot open the IOMMU group for /dev/vfio/\(group.lastComponent!.string): "
                + "Device or resource busy (EBUSY): another program, or another address space of this one, has "
                + "the group open"
        let other = try bench.makeSpace()
        expectMessage(message) { _ = try Device(at: bench.edu, in: other) }
        try device.close()
    }

    @Test("of interfaces that a kernel lacks", arguments: Scenario.all)
    func interfaces(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        if !bench.offer.hasIOMMUFD {
            expectMessage(
                "cannot open an iommufd for /dev/iommu: No such file or directory (ENOENT): "
                    + "iommufd needs Linux 6.6 with CONFIG_IOMMUFD and CONFIG_VFIO_DEVICE_CDEV; "
                    + "AddressSpace(.type1) is the other way; `vfioctl doctor` tells what is missing"
            ) { _ = try AddressSpace(.iommufd, kernel: bench.kernel) }
        }
        let space = try AddressSpace(.type1, kernel: bench.kernel)
        expectMessage(
            "cannot ask for the IOVA ranges (VFIO_IOMMU_GET_INFO) for the type1 container: "
                + "a container has no IOMMU before its first device; open the device first"
        ) { _ = try space.iovaRanges() }
    }

    @Test("of dma-bufs", arguments: Scenario.all)
    func dmaBufs(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        let device = try Device(at: bench.nvme, in: space)
        let export = "cannot export a dma-buf (VFIO_DEVICE_FEATURE_DMA_BUF) for"
        expectMessage("\(export) BAR 2 of 0000:00:04.0: both ends of 0..<100 have to be multiples of 4096") {
            _ = try device.exportDMABuf(of: .bar2, 0..<100)
        }
        expectMessage("\(export) config space of 0000:00:04.0: only a BAR can be exported") {
            _ = try device.exportDMABuf(of: .config, 0..<4096)
        }
        guard bench.offer.hasDMABuf else {
            expectMessage(
                "\(export) BAR 2 of 0000:00:04.0: Inappropriate ioctl for device (ENOTTY): "
                    + "dma-buf export needs Linux 6.19 and CONFIG_VFIO_PCI_DMABUF"
            ) { _ = try device.exportDMABuf(of: .bar2, 0..<4096) }
            try device.close()
            return
        }
        let window = try device.exportDMABuf(of: .bar2, 0..<4096)
        if scenario.usesIOMMUFD {
            let stranger = try DMABuf(adopting: window.duplicateDescriptor(), kernel: bench.kernel)
            try device.setMemoryDecode(false)
            expectMessage(
                "cannot map a dma-buf for BAR 2 of 0000:00:04.0: "
                    + "switch memory decode of the exporting device on, and the device into D0, first"
            ) { _ = try space.map(window) }
            expectMessage(
                "cannot map a dma-buf (IOMMU_IOAS_MAP_FILE) for a dma-buf from elsewhere: No such device (ENODEV): "
                    + "the exporter is being reset, is switched off, or has been closed"
            ) { _ = try space.map(stranger) }
            try device.close()
            expectMessage(
                "cannot map a dma-buf for BAR 2 of 0000:00:04.0: "
                    + "the exporting device has been closed; export anew"
            ) { _ = try space.map(window) }
            try stranger.close()
        } else {
            expectMessage(
                "cannot map a dma-buf for BAR 2 of 0000:00:04.0: "
                    + "a type1 container cannot import a dma-buf; use an address space of an iommufd"
            ) { _ = try space.map(window) }
            try device.close()
        }
        try window.close()
    }
}
