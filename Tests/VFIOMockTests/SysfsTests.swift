import CVFIO
import Dispatch
import SystemPackage
import Testing
import VFIO
import VFIOMock

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
        var number = container.rawValue
        #expect(throws: Errno.notPermitted) { try driver.control(group, CVFIO_GROUP_SET_CONTAINER, &number) }
        try driver.close(group, container)
        let iommufd = try driver.kernel.open("/dev/iommu", .readWrite)
        let ioas = try driver.makeIOAS(iommufd)
        #expect(throws: Errno.notPermitted) { try driver.openNode(0, iommufd, ioas: ioas) }
    }
}
