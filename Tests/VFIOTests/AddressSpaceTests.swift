import Glibc
import Synchronization

@testable import VFIO

/// Which interface an address space takes, what it opens, and what it maps.
@Suite struct AddressSpaceTests {
    private let kernel = ScriptedKernel.machine()
    private static let classFolder = "/sys/class/vfio-dev"

    // MARK: The choice

    @Test func withoutAnyDeviceItIsAnIommufd() throws {
        #expect(try AddressSpace(kernel: kernel).interface == .iommufd)
        kernel.addFolder(Self.classFolder, [])
        #expect(try AddressSpace(kernel: kernel).interface == .iommufd)
    }

    @Test func devicesWithNodesSpeakForAnIommufd() throws {
        kernel.addFolder(Self.classFolder, ["vfio0", "vfio1"])
        kernel.addFolder(Self.classFolder + "/vfio0", ["device", "power", "uevent"])
        kernel.addFolder(Self.classFolder + "/vfio1", ["dev", "device", "power", "uevent"])
        #expect(try AddressSpace(kernel: kernel).interface == .iommufd)
    }

    @Test func devicesWithoutNodesSpeakForType1() throws {
        kernel.addFolder(Self.classFolder, ["vfio0", "vfio1"])
        kernel.addFolder(Self.classFolder + "/vfio0", ["device", "power", "uevent"])
        kernel.addFolder(Self.classFolder + "/vfio1", ["device"])
        #expect(try AddressSpace(kernel: kernel).interface == .type1)
        #expect(!kernel.calls.contains("open /dev/iommu"))
        // Whoever asks for it gets it.
        #expect(try AddressSpace(.iommufd, kernel: kernel).interface == .iommufd)
    }

    @Test func withoutAnIommufdItIsType1() throws {
        kernel.removeNode("/dev/iommu")
        #expect(try AddressSpace(kernel: kernel).interface == .type1)
        expectError(.unsupported) { _ = try AddressSpace(.iommufd, kernel: kernel) }
    }

    @Test func withoutVFIOItSaysWhoKnowsMore() {
        kernel.removeNode("/dev/iommu")
        kernel.removeNode("/dev/vfio/vfio")
        let error = #expect(throws: VFIOError.self) { _ = try AddressSpace(kernel: kernel) }
        #expect(
            error?.description
                == "cannot open a type1 container for /dev/vfio/vfio: No such file or directory (ENOENT): the module vfio is "
                + "not loaded, or the kernel has no container interface; `vfioctl doctor` tells what is missing")
    }

    @Test func anIommufdThatMayNotBeOpenedIsForTheUserToMend() {
        // The first call looks at sysfs, the second opens the node.
        kernel.failCall(2, with: .permissionDenied)
        expectError(.permissionDenied) { _ = try AddressSpace(kernel: kernel) }
        #expect(!kernel.calls.contains("open /dev/vfio/vfio"))
    }

    // MARK: Devices

    @Test func aSecondOpenInAContainerIsRefused() throws {
        let space = try AddressSpace(.type1, kernel: kernel)
        let first = try Device(at: ScriptedKernel.address, in: space)
        let open = kernel.openNames
        let error = expectError(.busy) { _ = try Device(at: ScriptedKernel.address, in: space) }
        #expect(error?.errno == nil)
        // The first one and its group are as before.
        #expect(kernel.openNames == open)
        #expect(try first.config.command().contains(.memoryDecode))
        try first.close()
        #expect(kernel.openNames == ["/dev/vfio/vfio"])
        let second = try Device(at: ScriptedKernel.address, in: space)
        try second.close()
    }

    // MARK: Places

    /// Memory that nobody looks at: the scripted kernel maps what it is told.
    private static func memory(at address: UInt, _ byteCount: Int) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: UnsafeMutableRawPointer(bitPattern: address), count: byteCount)
    }

    /// The address of memory, its length, the device's address bits, and where it goes. 0x1000 and 0x3ff000 are taken.
    @Test(
        arguments: [
            (1 << 30, 1 << 30, 64, 1 << 30), (1 << 30, 3 << 30, 64, 1 << 32),
            // Below the hole of the interrupts there is no room at a multiple of 1 GiB, but at one of 2 MiB.
            (1 << 30, 3 << 30, 32, 1 << 22),
            (3 << 21, 1 << 21, 64, 1 << 22),
            (3 << 21, 1 << 30, 64, 1 << 22),
            // Below 4 MiB there is no room at a multiple of 2 MiB: any page will do.
            (1 << 21, 1 << 21, 22, 0x2000),
            // Too small, or beginning elsewhere.
            (1 << 21, (1 << 21) - 4096, 64, 0x2000),
            ((1 << 21) + 4096, 1 << 21, 64, 0x2000),
        ] as [(UInt, Int, Int, UInt64)])
    func hugePagesGoToTheirMultiples(_ address: UInt, _ byteCount: Int, _ bits: Int, _ expected: UInt64) throws {
        kernel.answerRanges([0...0xfedf_ffff, 0xfef0_0000...0x7f_ffff_ffff])
        let space = try AddressSpace(.iommufd, kernel: kernel)
        let first = try space.map(Self.memory(at: 4096, 4096))
        #expect(first.iova == 0x1000)
        let top = try space.map(Self.memory(at: 8192, 4096), placement: .fixed(0x3f_f000))
        let mapping = try space.map(Self.memory(at: address, byteCount), placement: .addressWidth(bits))
        #expect(mapping.iova == IOVA(expected))
        try closeAll(mapping, top, first)
    }

    // MARK: Memory

    @Test(arguments: [AddressSpace.Interface.iommufd, .type1])
    func everyPageIsTheProcesssOwnBeforeItIsMapped(_ interface: AddressSpace.Interface) throws {
        let resident = Mutex<[Bool]>([])
        @Sendable func look(_ address: UInt64, _ byteCount: UInt64) {
            var pages = [UInt8](repeating: 0, count: Int(byteCount) / Int(getpagesize()))
            let status = mincore(UnsafeMutableRawPointer(bitPattern: UInt(address)), Int(byteCount), &pages)
            resident.withLock { $0 = status == 0 ? pages.map { $0 & 1 != 0 } : [] }
        }
        kernel.accept(CIOMMU_IOAS_MAP, ciommu_ioas_map.self) { look($0.user_va, $0.length) }
        kernel.accept(CVFIO_IOMMU_MAP_DMA, cvfio_iommu_type1_dma_map.self) { look($0.vaddr, $0.size) }
        let device = try Device(at: ScriptedKernel.address, in: try AddressSpace(interface, kernel: kernel))
        let buffer = try device.space.allocate(byteCount: 20 * 4096, access: .read)
        #expect(resident.withLock { $0 } == [Bool](repeating: true, count: 20 * 4096 / Int(getpagesize())))
        #expect(buffer.bytes(count: buffer.byteCount).allSatisfy { $0 == 0 })
    }
}
