import Dispatch

/// Virtual functions: their coming and going, beyond what the contract suite asks of real kernels too.
@Suite struct VirtualFunctionTests {
    private static let physical: PCIAddress = "0000:02:00.0"
    private static let token = VFToken("52ac9bff-3a88-4fbd-901a-0d767c3b6c97")!

    private static func machine(limit: Int = 4) throws -> MockMachine {
        let machine = MockMachine()
        machine.plug(NVMePhysicalFunctionModel(virtualFunctionLimit: limit), at: physical)
        try machine.allowVirtualFunctions("Y")
        return machine
    }

    @Test("each is in a group of its own, bound to vfio-pci, and knows whose it is")
    func sysfs() throws {
        let machine = try Self.machine()
        try machine.setVirtualFunctions("2")
        let kernel = machine.kernel
        var groups: Set<String> = []
        for name in ["0000:02:00.1", "0000:02:00.2"] {
            let folder = FilePath("/sys/bus/pci/devices/\(name)")
            #expect(try kernel.readLink(folder.appending("physfn")).lastComponent?.string == "0000:02:00.0")
            #expect(try kernel.readLink(folder.appending("driver")).lastComponent?.string == "vfio-pci")
            groups.insert(try #require(try kernel.readLink(folder.appending("iommu_group")).lastComponent).string)
        }
        #expect(groups.count == 2)
    }

    @Test("more than eight go on in what looks like the next slot")
    func slots() throws {
        let machine = try Self.machine(limit: 9)
        try machine.setVirtualFunctions("9")
        let last = try machine.kernel.readLink("/sys/bus/pci/devices/0000:02:00.0/virtfn8").lastComponent
        #expect(last?.string == "0000:02:01.1")
    }

    @Test("once vfio-pci allows no more, those that are there cannot be taken away either")
    func parameter() throws {
        let machine = try Self.machine()
        #expect(throws: Errno.invalidArgument) { try machine.allowVirtualFunctions("perhaps") }
        try machine.setVirtualFunctions("1")
        try machine.allowVirtualFunctions("N")
        #expect(throws: Errno.noSuchFileOrDirectory) { try machine.setVirtualFunctions("0") }
        try machine.setVirtualFunctions("1")
    }

    @Test("one that is unplugged leaves alone, and the physical function with all that are left")
    func unplug() throws {
        let machine = try Self.machine()
        let space = try AddressSpace(.iommufd, kernel: machine.kernel)
        try Device(at: Self.physical, in: space, token: Self.token).close()
        try machine.setVirtualFunctions("2")
        let device = try Device(at: "0000:02:00.1", in: space, token: Self.token)
        #expect(!machine.unplug("0000:02:00.1"))
        try device.close()
        let bus = PCIBus(kernel: machine.kernel)
        #expect(try bus.functions().map(\.address) == [Self.physical, "0000:02:00.2"])
        #expect(machine.unplug(Self.physical))
        #expect(try bus.functions().isEmpty)
    }

    @Test("whoever takes away one that is open asks for it, and waits")
    func removal() throws {
        let machine = try Self.machine()
        let space = try AddressSpace(.iommufd, kernel: machine.kernel)
        try Device(at: Self.physical, in: space, token: Self.token).close()
        try machine.setVirtualFunctions("1")
        let device = try Device(at: "0000:02:00.1", in: space, token: Self.token)
        let request = try device.interrupts(.request).enable()
        // On a thread of its own: it blocks, as those do that the tests run on.
        let isDone = DispatchSemaphore(value: 0)
        DispatchQueue(label: "removal").async {
            #expect(throws: Never.self) { try machine.setVirtualFunctions("0") }
            isDone.signal()
        }
        #expect(try request.wait(timeout: .seconds(10)) != nil)
        #expect(try machine.kernel.readFile("/sys/bus/pci/devices/0000:02:00.0/sriov_numvfs") == Array("1\n".utf8))
        try closeAll(request, device)
        #expect(isDone.wait(timeout: .now() + 10) == .success)
        #expect(throws: VFIOError.self) { _ = try Device(at: "0000:02:00.1", in: space, token: Self.token) }
    }

    @Test("they go with the driver of the physical function, and so does the token")
    func unbind() throws {
        let machine = try Self.machine()
        let kernel = machine.kernel
        let space = try AddressSpace(.type1, kernel: kernel)
        try Device(at: Self.physical, in: space, token: Self.token).close()
        try machine.setVirtualFunctions("2")
        let address = Array("0000:02:00.0".utf8)
        try kernel.writeFile("/sys/bus/pci/drivers/vfio-pci/unbind", address)
        #expect(try kernel.names(in: "/sys/bus/pci/devices") == ["0000:02:00.0"])
        #expect(throws: Errno.noSuchFileOrDirectory) { try machine.setVirtualFunctions("1") }
        try kernel.writeFile("/sys/bus/pci/drivers/vfio-pci/bind", address)
        try machine.setVirtualFunctions("1")
        let error = #expect(throws: VFIOError.self) {
            _ = try Device(at: "0000:02:00.1", in: space, token: Self.token)
        }
        #expect(error?.code == .permissionDenied)
    }

    @Test("a mediated device takes no token, and no option for one")
    func mediated() throws {
        let machine = try Self.machine()
        machine.addMediatedParent("mtty", types: ["mtty-1": { SerialPortModel() }])
        let uuid: DeviceUUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
        try machine.kernel.writeFile(
            "/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/create", Array("\(uuid)".utf8))
        for interface in [AddressSpace.Interface.type1, .iommufd] {
            let device = try Device(mediated: uuid, in: try AddressSpace(interface, kernel: machine.kernel))
            #expect(try device.supports(.vfToken) == false)
            try device.close()
        }
    }
}

extension MockMachine {
    fileprivate func allowVirtualFunctions(_ text: String) throws(Errno) {
        try kernel.writeFile("/sys/module/vfio_pci/parameters/enable_sriov", Array(text.utf8))
    }

    fileprivate func setVirtualFunctions(_ count: String) throws(Errno) {
        try kernel.writeFile("/sys/bus/pci/devices/0000:02:00.0/sriov_numvfs", Array(count.utf8))
    }
}
