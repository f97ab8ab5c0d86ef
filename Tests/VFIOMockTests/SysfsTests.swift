import Dispatch

@Suite("sysfs")
struct SysfsTests {
    static let edu = "0000:00:02.0"
    static let folder: FilePath = "/sys/bus/pci/devices/0000:00:02.0"

    private func text(_ kernel: some Kernel, _ path: FilePath) throws(Errno) -> String {
        String(decoding: try kernel.readFile(path), as: UTF8.self)
    }

    @Test func layout() throws {
        let kernel = PathTests.makeMachine().kernel
        #expect(try kernel.names(in: "/sys/bus/pci/devices") == ["0000:00:02.0", "0000:00:03.0", "0000:00:04.0"])
        #expect(try kernel.readLink(Self.folder) == "../../../devices/pci0000:00/0000:00:02.0")
        #expect(try kernel.readLink(Self.folder.appending("iommu_group")) == "../../../kernel/iommu_groups/1")
        #expect(try kernel.readLink(Self.folder.appending("driver")) == "../../../bus/pci/drivers/vfio-pci")
        #expect(try text(kernel, Self.folder.appending("vendor")) == "0x1234\n")
        #expect(try text(kernel, Self.folder.appending("class")) == "0x00ff00\n")
        #expect(try text(kernel, Self.folder.appending("revision")) == "0x10\n")
        #expect(try text(kernel, Self.folder.appending("driver_override")) == "vfio-pci\n")
        #expect(try text(kernel, "/proc/sys/kernel/osrelease") == "7.3.0\n")
        #expect(
            try text(kernel, "/sys/kernel/iommu_groups/1/reserved_regions")
                == "0x00000000fee00000 0x00000000feefffff msi\n")
        #expect(try kernel.readFile(Self.folder.appending("config")).prefix(4) == [0x34, 0x12, 0xe8, 0x11])
        #expect(try text(kernel, "/sys/bus/pci/devices/0000:00:04.0/resource").split(separator: "\n").count == 13)
        #expect(try kernel.names(in: "/dev/vfio") == ["1", "2", "3", "devices", "vfio"])
        #expect(try kernel.names(in: "/dev/vfio/devices") == ["vfio0", "vfio1", "vfio2"])
        // Through links, up and down.
        #expect(try kernel.names(in: Self.folder.appending("iommu_group").appending("devices")) == [Self.edu])
        #expect(try text(kernel, "/sys/kernel/iommu_groups/1/devices/0000:00:02.0/device") == "0x11e8\n")
    }

    /// What udev, lspci and others read of a device, and that VFIO is there, without which DPDK does not look for it.
    @Test func whatOtherProgramsLookAt() throws {
        let machine = MockMachine()
        machine.plug(NVMeModel(), at: "0000:00:04.0")
        let kernel = machine.kernel
        let folder: FilePath = "/sys/bus/pci/devices/0000:00:04.0"
        func text(_ name: String) throws(Errno) -> String { try self.text(kernel, folder.appending(name)) }
        for module in ["vfio", "vfio_pci", "vfio_pci_core", "vfio_iommu_type1", "iommufd"] {
            #expect(try kernel.names(in: "/sys/module").contains(module))
        }
        let alias = "pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02"
        #expect(try text("modalias") == alias + "\n")
        #expect(
            try text("uevent")
                == """
                DRIVER=vfio-pci
                PCI_CLASS=10802
                PCI_ID=1B36:0010
                PCI_SUBSYS_ID=1AF4:1100
                PCI_SLOT_NAME=0000:00:04.0
                MODALIAS=\(alias)

                """)
        let names = try kernel.names(in: folder)
        #expect(names.filter { $0.hasPrefix("resource") } == ["resource", "resource0", "resource2", "resource2_wc"])
        #expect(try text("power_state") == "D0\n")
        #expect(try text("power/runtime_status") == "active\n")
        #expect(try text("power/control") == "on\n")
        try kernel.writeFile(folder.appending("power/control"), Array("auto\n".utf8))
        #expect(try text("power/control") == "auto\n")
        #expect(throws: Errno.invalidArgument) {
            try kernel.writeFile(folder.appending("power/control"), Array("off".utf8))
        }
    }

    @Test func aFunctionIsResetAndRemovedByItsFiles() throws {
        let machine = MockMachine()
        machine.plug(NVMeModel(), at: "0000:00:04.0")
        machine.plug(EduModel(), at: "0000:00:02.0")
        let kernel = machine.kernel
        let folder: FilePath = "/sys/bus/pci/devices/0000:00:04.0"
        machine.withDevice(NVMeModel.self, at: "0000:00:04.0") { model, _ in model.becomeFatal() }
        func status() -> UInt64 {
            machine.withDevice(NVMeModel.self, at: "0000:00:04.0") { model, bus in
                model.read(bar: 0, at: 0x1c, width: 4, bus: bus)
            }
        }
        #expect(status() == 2)
        #expect(throws: Errno.invalidArgument) { try kernel.writeFile(folder.appending("reset"), Array("0".utf8)) }
        try kernel.writeFile(folder.appending("reset"), Array("1".utf8))
        #expect(status() == 0)
        // A device of the root bus without a reset of its own has no such file.
        #expect(throws: Errno.noSuchFileOrDirectory) {
            try kernel.writeFile(Self.folder.appending("reset"), Array("1".utf8))
        }
        #expect(throws: Errno.invalidArgument) { try kernel.writeFile(folder.appending("remove"), Array("x".utf8)) }
        try kernel.writeFile(folder.appending("remove"), Array("0".utf8))
        #expect(try kernel.names(in: "/sys/bus/pci/devices") == [Self.edu, "0000:00:04.0"])
        try kernel.writeFile(folder.appending("remove"), Array("1".utf8))
        #expect(try kernel.names(in: "/sys/bus/pci/devices") == [Self.edu])
        #expect(throws: VFIOError.self) {
            try Device(at: "0000:00:04.0", in: AddressSpace(kernel: kernel)).close()
        }
    }

    /// A port has one secondary bus.
    @Test func eachBusIsBehindAPortOfItsOwn() throws {
        let machine = MockMachine()
        let addresses: [PCIAddress] = [
            "0000:01:00.0", "0000:01:00.1", "0000:02:00.0", "0000:20:00.0", "0000:21:00.0", "0001:01:00.0",
        ]
        for address in addresses { machine.plug(EduModel(), at: address) }
        let ports = try addresses.map { address in
            let path = try machine.kernel.readLink(FilePath("/sys/bus/pci/devices/\(address)"))
            return path.components.dropLast().last!.string
        }
        #expect(
            ports == [
                "0000:00:1c.0", "0000:00:1c.0", "0000:00:1c.1", "0000:00:1f.7", "0000:00:1b.0", "0001:00:1c.0",
            ])
    }

    @Test func whatIsNotThere() {
        let kernel = PathTests.makeMachine(.stock).kernel
        #expect(throws: Errno.noSuchFileOrDirectory) { try kernel.open("/dev/iommu", .readWrite) }
        #expect(throws: Errno.noSuchFileOrDirectory) { try kernel.open("/dev/vfio/devices/vfio0", .readWrite) }
        #expect(throws: Errno.noSuchFileOrDirectory) { try kernel.open("/dev/vfio/9", .readWrite) }
        #expect(throws: Errno.noSuchFileOrDirectory) { try kernel.names(in: "/sys/bus/pci/devices/0000:00:09.0") }
        #expect(throws: Errno.noSuchFileOrDirectory) { try kernel.readFile("/sys/nothing") }
        #expect(throws: Errno.invalidArgument) { try kernel.readLink(Self.folder.appending("vendor")) }
        #expect(throws: Errno.isDirectory) { try kernel.readFile(Self.folder) }
        #expect(throws: Errno.notDirectory) { try kernel.names(in: Self.folder.appending("vendor")) }
        #expect(throws: Errno.permissionDenied) { try kernel.writeFile(Self.folder.appending("vendor"), [1]) }
        #expect(throws: Errno.permissionDenied) { try kernel.readFile("/sys/bus/pci/drivers/vfio-pci/bind") }
    }

    @Test func aDriverLetsGoAndTakesAgain() throws {
        let machine = MockMachine(.stock)
        machine.plug(EduModel(), at: "0000:00:02.0", driver: "edu-host")
        let kernel = machine.kernel
        let bytes = Array("0000:00:02.0\n".utf8)
        #expect(throws: Errno.noSuchFileOrDirectory) { try kernel.open("/dev/vfio/1", .readWrite) }
        try kernel.writeFile(Self.folder.appending("driver_override"), Array("vfio-pci\n".utf8))
        #expect(throws: Errno.resourceBusy) { try kernel.writeFile("/sys/bus/pci/drivers/vfio-pci/bind", bytes) }
        try kernel.writeFile(Self.folder.appending("driver").appending("unbind"), bytes)
        #expect(throws: Errno.noSuchFileOrDirectory) { try kernel.readLink(Self.folder.appending("driver")) }
        try kernel.writeFile("/sys/bus/pci/drivers_probe", bytes)
        #expect(try kernel.readLink(Self.folder.appending("driver")).lastComponent == "vfio-pci")
        try kernel.close(try kernel.open("/dev/vfio/1", .readWrite))
        try kernel.writeFile("/sys/bus/pci/drivers/vfio-pci/unbind", bytes)
        try kernel.writeFile(Self.folder.appending("driver_override"), Array("\n".utf8))
        #expect(try text(kernel, Self.folder.appending("driver_override")) == "(null)\n")
        #expect(throws: Errno.operationNotSupportedByDevice) {
            try kernel.writeFile("/sys/bus/pci/drivers/vfio-pci/bind", bytes)
        }
        try kernel.writeFile("/sys/bus/pci/drivers_probe", bytes)
        #expect(try kernel.readLink(Self.folder.appending("driver")).lastComponent == "edu-host")
        try kernel.writeFile(Self.folder.appending("driver").appending("unbind"), bytes)
        try kernel.writeFile("/sys/bus/pci/drivers/vfio-pci/new_id", Array("1234 11e8".utf8))
        #expect(try kernel.readLink(Self.folder.appending("driver")).lastComponent == "vfio-pci")
    }

    @Test func unbindingWaitsForWhoHasTheDevice() async throws {
        let machine = PathTests.makeMachine(.stock)
        let driver = Driver(machine)
        let (container, group, device) = try driver.openLegacy("0000:00:02.0", group: 1)
        let asked = try driver.kernel.makeEvent()
        try driver.enableMSI(device, CVFIO_PCI_REQ_IRQ_INDEX, [asked])
        // On a thread of its own: those of the pool may all be blocked by other tests.
        let (ends, end) = AsyncStream<Result<Void, any Error>>.makeStream()
        DispatchQueue(label: "unbinding").async {
            end.yield(
                Result {
                    try machine.kernel.writeFile("/sys/bus/pci/drivers/vfio-pci/unbind", Array("0000:00:02.0".utf8))
                })
        }
        #expect(try driver.kernel.waitUntilReadable(asked, timeout: 10_000))
        try driver.close(device)
        for await result in ends {
            try result.get()
            break
        }
        try driver.close(asked, group, container)
        #expect(throws: Errno.noSuchFileOrDirectory) { try machine.kernel.open("/dev/vfio/1", .readWrite) }
    }

    @Test func aGroupThatTheHostUsesIsNotViable() throws {
        let machine = MockMachine()
        machine.plug(EduModel(), at: "0000:01:00.0", group: 7)
        machine.plug(EduModel(), at: "0000:01:00.1", group: 7, driver: "edu-host")
        let driver = Driver(machine)
        let group = try driver.kernel.open("/dev/vfio/7", .readWrite)
        var status = cvfio_group_status(argsz: 8, flags: 0xff)
        try driver.control(group, CVFIO_GROUP_GET_STATUS, &status)
        #expect(status.flags == 0)
        let container = try driver.kernel.open("/dev/vfio/vfio", .readWrite)
        #expect(throws: Errno.notPermitted) { try driver.ask(group, ABI.setContainer(container)) }
        try driver.close(group, container)
        let (iommufd, ioas) = try driver.openIOMMUFD()
        #expect(throws: Errno.notPermitted) { try driver.openNode(0, iommufd, ioas: ioas) }
    }

    // MARK: The tree is kept, not made anew

    @Test("looking makes no nodes, and plugging a device in makes as many however many there are")
    func costOfNodes() throws {
        let machine = MockMachine()
        machine.plug(EduModel(), at: "0000:00:00.0")
        var made: Set<Int> = []
        for slot in 1..<32 as Range<UInt8> {
            let before = machine.sysfsNodeCount
            machine.plug(EduModel(), at: try #require(PCIAddress(bus: 0, device: slot, function: 0)))
            made.insert(machine.sysfsNodeCount - before)
        }
        #expect(made.count == 1 && made.allSatisfy { $0 < 50 }, "\(made)")
        let before = machine.sysfsNodeCount
        #expect(try PCIBus(kernel: machine.kernel).functions().count == 32)
        try Device(at: "0000:00:02.0", in: AddressSpace(kernel: machine.kernel)).close()
        #expect(machine.sysfsNodeCount == before)
    }

    /// All that is below a folder, with where links lead and what attributes hold.
    private func listing(_ kernel: MockKernel, _ folder: String) throws(Errno) -> [String] {
        var lines: [String] = []
        for name in try kernel.names(in: FilePath(folder)) {
            let path = "\(folder)/\(name)"
            if let target = try? kernel.readLink(FilePath(path)) {
                lines.append("\(path) -> \(target)")
            } else if (try? kernel.names(in: FilePath(path))) != nil {
                lines += ["\(path)/"] + (try listing(kernel, path))
            } else {
                lines.append("\(path) = \((try? text(kernel, FilePath(path))) ?? "")")
            }
        }
        return lines
    }

    @Test(
        "what goes leaves nothing behind, and what comes back looks as before",
        arguments: [MockRelease.iommufd, .stock])
    func comingAndGoing(release: MockRelease) throws {
        let machine = MockMachine(release)
        machine.plug(NVMePhysicalFunctionModel(virtualFunctionLimit: 4), at: "0000:02:00.0", group: 5)
        machine.plug(EduModel(), at: "0000:03:00.0", group: 5)
        if release.hasUnsafeNoIOMMUMode { machine.plug(EduModel(), at: "0000:04:00.0", hasIOMMU: false) }
        machine.addMediatedParent("mtty", types: ["mtty-1": { SerialPortModel() }])
        let kernel = machine.kernel
        func write(_ text: String, _ path: FilePath) throws(Errno) { try kernel.writeFile(path, Array(text.utf8)) }
        func all() throws(Errno) -> [String] { try listing(kernel, "/sys") + listing(kernel, "/dev/vfio") }
        let uuid = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
        try write("Y", "/sys/module/vfio_pci/parameters/enable_sriov")
        let before = try all()

        try write("2", "/sys/bus/pci/devices/0000:02:00.0/sriov_numvfs")
        try write(uuid, "/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/create")
        let added = try all().filter { !before.contains($0) }
        for path in ["/sys/bus/mdev/devices/\(uuid)", "/sys/bus/pci/devices/0000:02:00.2"] {
            #expect(added.contains { $0.hasPrefix(path + " -> ") }, "\(path)")
        }
        #expect(
            try text(kernel, "/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/available_instances") == "23\n")
        try write("1", FilePath("/sys/bus/mdev/devices/\(uuid)/remove"))
        try write("0", "/sys/bus/pci/devices/0000:02:00.0/sriov_numvfs")
        #expect(try all() == before)

        // The group's nodes are there while one of its devices is vfio-pci's.
        let unbind: FilePath = "/sys/bus/pci/drivers/vfio-pci/unbind"
        let bind: FilePath = "/sys/bus/pci/drivers/vfio-pci/bind"
        try write("0000:02:00.0", unbind)
        #expect(try kernel.names(in: "/sys/class/vfio").contains("5"))
        try write("0000:03:00.0", unbind)
        #expect(try !kernel.names(in: "/sys/class/vfio").contains("5"))
        #expect(try !kernel.names(in: "/dev/vfio").contains("5"))
        #expect(try kernel.names(in: "/sys/kernel/iommu_groups/5/devices") == ["0000:02:00.0", "0000:03:00.0"])
        if release.hasUnsafeNoIOMMUMode {
            #expect(try kernel.names(in: "/sys/kernel/iommu_groups") == ["5", "6"])
            try write("0000:04:00.0", unbind)
            #expect(try kernel.names(in: "/sys/kernel/iommu_groups") == ["5"])
        }
        #expect(try kernel.names(in: "/sys/class/vfio-dev") == [])
        try write("0000:02:00.0", bind)
        try write("0000:03:00.0", bind)
        if release.hasUnsafeNoIOMMUMode { try write("0000:04:00.0", bind) }
        #expect(try all() == before)
    }

    @Test("a device is reset by its bus while it is alone there")
    func resetOfTheBus() throws {
        let machine = MockMachine()
        let bus = PCIBus(kernel: machine.kernel)
        machine.plug(EduModel(), at: "0000:01:00.0")
        #expect(try bus.function(at: "0000:01:00.0").resetMethods == ["bus"])
        machine.plug(EduModel(), at: "0000:01:01.0")
        machine.plug(EduModel(), at: "0000:01:02.0")
        #expect(try bus.functions().allSatisfy { $0.resetMethods.isEmpty })
    }

    private final class HeldModel: MockDevice {
        let pci = MockPCIFunction(vendor: 0x1234, device: 1)
    }

    @Test("a machine that nobody has goes with its devices")
    func lifetime() {
        weak var model: HeldModel?
        do {
            let held = HeldModel()
            model = held
            let machine = MockMachine()
            machine.plug(held, at: "0000:00:02.0")
            machine.addMediatedParent("mtty", types: ["mtty-1": { SerialPortModel() }])
        }
        #expect(model == nil)
    }
}
