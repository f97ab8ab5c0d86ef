import Glibc

@Suite("Memory")
struct MemoryTests {
    static let edu: PCIAddress = "0000:00:02.0"

    @Test func dmaOutlivesMunmap() throws {
        let machine = PathTests.makeMachine(.stock)
        let driver = Driver(machine)
        let (container, group, device) = try driver.openLegacy(Self.edu, group: 1)
        try driver.setCommand(device, 6)
        let memory = try driver.allocate(4096)
        memory[0] = 0x42
        try driver.map(container, memory.baseAddress!, 4096, at: 0x1000)
        try driver.kernel.unmap(memory)
        try driver.transfer(device, iova: 0x1000, 1, toMemory: false)
        #expect(machine.withDevice(EduModel.self, at: Self.edu) { edu, _ in edu.buffer[0] } == 0x42)
        #expect(machine.faults.isEmpty)
        try driver.close(device, group, container)
    }

    @Test func partOfAnAllocationCanBeUnmapped() throws {
        let machine = PathTests.makeMachine(.stock)
        let driver = Driver(machine)
        let (container, group, device) = try driver.openLegacy(Self.edu, group: 1)
        try driver.setCommand(device, 6)
        let memory = try driver.allocate(3 * 4096)
        memory[2 * 4096] = 3
        try driver.kernel.unmap(UnsafeMutableRawBufferPointer(rebasing: memory[4096..<8192]))
        #expect(throws: Errno.badAddress) { try driver.map(container, memory.baseAddress!, 3 * 4096, at: 0) }
        try driver.map(container, memory.baseAddress!, 4096, at: 0)
        try driver.map(container, memory.baseAddress! + 8192, 4096, at: 0x1000)
        try driver.transfer(device, iova: 0x1000, 1, toMemory: false)
        #expect(machine.withDevice(EduModel.self, at: Self.edu) { edu, _ in edu.buffer[0] } == 3)
        try driver.close(device, group, container)
    }

    @Test func memoryFromElsewhereIsUsedInPlace() throws {
        let machine = PathTests.makeMachine(.stock)
        let driver = Driver(machine)
        let (container, group, device) = try driver.openLegacy(Self.edu, group: 1)
        try driver.setCommand(device, 6)
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 4096)
        defer { memory.deallocate() }
        memory.initializeMemory(as: UInt8.self, repeating: 9)
        try driver.map(container, memory.baseAddress!, 4096, at: 0)
        try driver.transfer(device, iova: 0, 4, toMemory: false)
        try driver.transfer(device, iova: 0x800, 4, toMemory: true)
        memory[0x800 + 4] = 1
        #expect(Array(memory[0x800..<0x805]) == [9, 9, 9, 9, 1])
        #expect(throws: Errno.badAddress) {
            try driver.map(container, UnsafeMutableRawPointer(bitPattern: 0x1000)!, 4096, at: 0x10000)
        }
        try driver.close(device, group, container)
    }

    @Test(arguments: [2 << 20, 1 << 30])
    func hugePagesAreAligned(size: Int) throws {
        let machine = MockMachine()
        machine.hugePages[1 << 30] = 1
        let kernel = machine.kernel
        let memory = try kernel.map(MemoryMapRequest(byteCount: 4096, source: .anonymous(hugePageSize: size)))
        #expect(UInt(bitPattern: memory) % UInt(size) == 0)
        memory.storeBytes(of: 1, toByteOffset: size - 1, as: UInt8.self)
        try kernel.unmap(UnsafeMutableRawBufferPointer(start: memory, count: size))
    }

    @Test func aTouchWhileMemoryDecodeIsOffIsABusError() async {
        await #expect(processExitsWith: .signal(SIGBUS)) {
            let driver = Driver(PathTests.makeMachine(.stock))
            let (_, _, device) = try driver.openLegacy("0000:00:03.0", group: 2)
            let window = try driver.mapBAR(device, 2, 4096)
            window[0] = 1
            try driver.setCommand(device, 0)
            window[0] = 2
        }
    }

    @Test func mappingsComeBackWithMemoryDecode() throws {
        let driver = Driver(PathTests.makeMachine(.stock))
        let (container, group, device) = try driver.openLegacy("0000:00:03.0", group: 2)
        let window = try driver.mapBAR(device, 2, 8192)
        window[4096] = 7
        try driver.setCommand(device, 0)
        let late = try driver.mapBAR(device, 2, 8192)
        try driver.setCommand(device, 2)
        #expect(window[4096] == 7 && late[4096] == 7)
        try driver.kernel.unmap(window)
        try driver.kernel.unmap(late)
        try driver.close(device, group, container)
    }

    @Test func aMappedBARKeepsItsDeviceOpen() throws {
        let machine = PathTests.makeMachine(.stock)
        let driver = Driver(machine)
        let (container, group, device) = try driver.openLegacy("0000:00:03.0", group: 2)
        let window = try driver.mapBAR(device, 2, 4096)
        try driver.close(device, group, container)
        #expect(machine.openFiles.map(\.kind) == [.group(2), .device("0000:00:03.0")])
        #expect(machine.descriptorCount == 0)
        try driver.kernel.unmap(window)
        #expect(machine.openFiles.isEmpty)
    }

    // MARK: Huge pages, and too much memory

    private static func request(_ count: Int, _ size: Int?) -> MemoryMapRequest {
        MemoryMapRequest(byteCount: count, source: .anonymous(hugePageSize: size))
    }

    @Test func hugePagesComeToAnEnd() throws {
        let machine = MockMachine()
        let kernel = machine.kernel
        #expect(machine.hugePages == [2 << 20: 16, 1 << 30: 0])
        #expect(throws: Errno.noMemory) { try kernel.map(Self.request(17 * 2 << 20, 2 << 20)) }
        #expect(throws: Errno.noMemory) { try kernel.map(Self.request(1, 1 << 30)) }
        #expect(throws: Errno.invalidArgument) { try kernel.map(Self.request(1, 32 << 20)) }
        let most = UnsafeMutableRawBufferPointer(
            start: try kernel.map(Self.request(16 * 2 << 20, 2 << 20)), count: 16 * 2 << 20)
        #expect(throws: Errno.noMemory) { try kernel.map(Self.request(1, 2 << 20)) }
        // Half of a page cannot be given back, and what cannot be is still there.
        let half = 1 << 20
        #expect(throws: Errno.invalidArgument) {
            try kernel.unmap(UnsafeMutableRawBufferPointer(rebasing: most[..<half]))
        }
        #expect(throws: Errno.invalidArgument) {
            try kernel.unmap(UnsafeMutableRawBufferPointer(rebasing: most[half...]))
        }
        most[half] = 1
        try kernel.unmap(UnsafeMutableRawBufferPointer(rebasing: most[(2 << 20)...]))
        let rest = try kernel.map(Self.request(15 * 2 << 20, 2 << 20))
        #expect(throws: Errno.noMemory) { try kernel.map(Self.request(1, 2 << 20)) }
        try kernel.unmap(UnsafeMutableRawBufferPointer(start: rest, count: 15 * 2 << 20))
        try kernel.unmap(UnsafeMutableRawBufferPointer(rebasing: most[..<(2 << 20)]))
        machine.hugePages[2 << 20] = 0
        #expect(throws: Errno.noMemory) { try kernel.map(Self.request(1, 2 << 20)) }
    }

    @Test(arguments: [MockRelease.iommufd, .stock])
    func aPinnedHugePageIsGivenBackWithItsMapping(_ release: MockRelease) throws {
        let machine = PathTests.makeMachine(release)
        machine.hugePages[2 << 20] = 2
        let driver = Driver(machine)
        let kernel = driver.kernel
        func pages(_ count: Int) throws -> UnsafeMutableRawBufferPointer {
            UnsafeMutableRawBufferPointer(
                start: try kernel.map(Self.request(count << 21, 2 << 20)), count: count << 21)
        }
        var files: [FileDescriptor]
        let unmap: () throws -> Void
        let memory = try pages(2)
        if release.hasIOMMUFD {
            let iommufd = try kernel.open("/dev/iommu", .readWrite)
            let ioas = try driver.ask(iommufd, ABI.makeIOAS())
            files = [try driver.openNode(0, iommufd, ioas: ioas), iommufd]
            try driver.map(iommufd, ioas, memory.baseAddress! + (2 << 20), 4096, at: 0x20_0000)
            unmap = { _ = try driver.ask(iommufd, ABI.unmap(ioas, 0x20_0000, byteCount: 4096)) }
        } else {
            let (container, group, device) = try driver.openLegacy(Self.edu, group: 1)
            files = [device, group, container]
            try driver.map(container, memory.baseAddress! + (2 << 20), 4096, at: 0x20_0000)
            unmap = { try driver.ask(container, ABI.unmapDMA(0x20_0000, byteCount: 4096)) }
        }
        try kernel.unmap(memory)
        #expect(throws: Errno.noMemory) { try pages(2) }
        try kernel.unmap(try pages(1))
        try unmap()
        try kernel.unmap(try pages(2))
        for file in files { try kernel.close(file) }
    }

    @Test(arguments: [2 << 20, nil] as [Int?])
    func memoryIsNotEndless(_ size: Int?) throws {
        let machine = MockMachine()
        let kernel = machine.kernel
        for count in [1 << 40, 1 << 62, Int.max] {
            #expect(throws: Errno.noMemory) { try kernel.map(Self.request(count, size)) }
        }
        #expect(throws: Errno.invalidArgument) { try kernel.map(Self.request(0, size)) }
        #expect(throws: size == nil ? Errno.noMemory : .invalidArgument) { try kernel.map(Self.request(-1, size)) }
        machine.memoryByteCount = 1 << 20
        #expect(throws: Errno.noMemory) { try kernel.map(Self.request(1 << 20 + 1, nil)) }
        let all = try kernel.map(Self.request(1 << 20, nil))
        try kernel.unmap(UnsafeMutableRawBufferPointer(start: all, count: 1 << 20))
    }

    @Test func theLockLimitCountsAllThatAnAttachmentPins() throws {
        let machine = PathTests.makeMachine(.iommufd)
        let driver = Driver(machine)
        let (iommufd, ioas) = try driver.openIOMMUFD()
        let memory = try driver.allocate(2 * 4096)
        try driver.map(iommufd, ioas, memory.baseAddress!, 4096, at: 0x1000)
        try driver.map(iommufd, ioas, memory.baseAddress! + 4096, 4096, at: 0x10000)
        machine.memoryLockLimit = 8191
        #expect(throws: Errno.noMemory) { try driver.openNode(0, iommufd, ioas: ioas) }
        #expect(machine.pinnedByteCount == 0)
        machine.memoryLockLimit = 8192
        let device = try driver.openNode(1, iommufd, ioas: ioas)
        #expect(machine.pinnedByteCount == 8192)
        try driver.kernel.unmap(memory)
        try driver.close(device, iommufd)
    }

    /// In a process of its own, since the tests beside this one have machines too.
    @Test(arguments: [MockRelease.iommufd.name, MockRelease.stock.name])
    func aMachineThatIsLeftInUseIsGone(_ name: String) async {
        await #expect(processExitsWith: .success) { [name = name as String] in
            func use() throws {
                let machine = PathTests.makeMachine(name == MockRelease.stock.name ? .stock : .iommufd)
                let driver = Driver(machine)
                if name == MockRelease.stock.name {
                    let (container, _, device) = try driver.openLegacy("0000:00:03.0", group: 2)
                    try driver.setCommand(device, 6)
                    try driver.map(container, try driver.mapBAR(device, 2, 4096).baseAddress!, 4096, at: 0x1000)
                } else {
                    let (iommufd, ioas) = try driver.openIOMMUFD()
                    let device = try driver.openNode(1, iommufd, ioas: ioas)
                    let buffer = try driver.export(device, bar: 2, 0..<4096)
                    try driver.mapFile(iommufd, ioas, buffer, 4096, at: 0x1000)
                }
            }
            try use()
            let kernel = HostKernel()
            let links = try kernel.names(in: "/proc/self/fd").compactMap {
                try? kernel.readLink(FilePath("/proc/self/fd/\($0)")).string
            }
            try #require(links.contains { $0.contains("vfio-mock") })
            try #require(!links.contains { $0.contains("vfio-mock-bar") })
        }
    }
}
