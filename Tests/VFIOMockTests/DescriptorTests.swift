import Glibc

@Suite("Descriptors")
struct DescriptorTests {
    private func sockets() -> (FileDescriptor, FileDescriptor) {
        var pair: [Int32] = [0, 0]
        #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair) == 0)
        return (FileDescriptor(rawValue: pair[0]), FileDescriptor(rawValue: pair[1]))
    }

    @Test func aCopyIsTheSameFile() throws {
        let machine = MockMachine()
        let driver = Driver(machine)
        let (file, ioas) = try driver.openIOMMUFD()
        let copy = try driver.kernel.duplicate(file)
        #expect(machine.descriptorCount == 2)
        try driver.close(file)
        #expect(machine.openFiles.map(\.kind) == [.iommufd])
        let memory = try driver.allocate(4096)
        try driver.map(copy, ioas, memory.baseAddress!, 4096, at: 0)
        try driver.close(copy)
        #expect(machine.openFiles.isEmpty)
    }

    @Test func aCopyMadeBehindTheSeamIsFound() throws {
        let machine = MockMachine()
        let driver = Driver(machine)
        let file = try driver.kernel.open("/dev/iommu", .readWrite)
        let copy = FileDescriptor(rawValue: dup(file.rawValue))
        try driver.ask(copy, ABI.makeIOAS())
        try driver.close(file)
        #expect(machine.openFiles.count == 1)
        try driver.close(copy)
        #expect(machine.openFiles.isEmpty)
    }

    @Test("a call on a known descriptor makes no system call to identify it, and an unknown duplicate costs one")
    func costOfLookUps() throws {
        let machine = MockMachine()
        let driver = Driver(machine)
        let file = try driver.kernel.open("/dev/vfio/vfio", .readWrite)
        let copy = try driver.kernel.duplicate(file)
        let before = machine.identityLookupCount
        let unknown = FileDescriptor(rawValue: dup(file.rawValue))
        for (descriptor, cost) in [(file, 0), (copy, 0), (unknown, 1)] {
            for _ in 0..<8 { #expect(try driver.kernel.control(descriptor, CVFIO_GET_API_VERSION, value: 0) == 0) }
            #expect(machine.identityLookupCount == before + cost)
        }
        try driver.close(file, copy, unknown)
        #expect(machine.identityLookupCount == before + 1)
    }

    /// In a process of its own, since the tests beside this one take free numbers too. The runtime's threads may take one
    /// even there: then it is tried again.
    @Test func aNumberThatWasClosedBehindTheSeamIsUsedAgain() async {
        await #expect(processExitsWith: .success) {
            var attempts = 0
            while try !Self.reusesNumbers() {
                attempts += 1
                try #require(attempts < 50)
            }
        }
    }

    /// - Returns: Whether each number came again, so that something was tested.
    private static func reusesNumbers() throws -> Bool {
        let machine = MockMachine()
        let kernel = machine.kernel
        let first = try kernel.open("/dev/iommu", .readWrite)
        Glibc.close(first.rawValue)
        // For another file of the mock,
        let second = try kernel.open("/dev/vfio/vfio", .readWrite)
        guard second == first else { return false }
        try #require(machine.openFiles.map(\.kind) == [.container])
        try #require(try kernel.control(second, CVFIO_GET_API_VERSION, value: 0) == 0)
        // for a copy of one,
        Glibc.close(second.rawValue)
        let third = try kernel.open("/dev/kvm", .readWrite)
        let copy = try kernel.duplicate(third)
        Glibc.close(copy.rawValue)
        guard third == second, try kernel.duplicate(third) == copy else { return false }
        try #require(machine.descriptorCount == 2)
        // for files of the host,
        Glibc.close(copy.rawValue)
        let event = try kernel.makeEvent()
        guard event == copy else { return false }
        #expect(throws: Errno.inappropriateIOCTLForDevice) {
            try kernel.control(event, CKVM_GET_API_VERSION, value: 0)
        }
        Glibc.close(third.rawValue)
        let status = try kernel.open("/proc/self/status", .readOnly)
        guard status == third else { return false }
        try #require(machine.openFiles.isEmpty)
        // and for one that is closed twice.
        let last = try kernel.open("/dev/iommu", .readWrite)
        Glibc.close(last.rawValue)
        do throws(Errno) {
            try kernel.close(last)
            return false
        } catch {
            #expect(error == .badFileDescriptor)
        }
        try #require(machine.openFiles.isEmpty)
        return true
    }

    @Test func aDescriptorInFlightKeepsTheFileOpen() throws {
        let machine = PathTests.makeMachine()
        let driver = Driver(machine)
        let iommufd = try driver.kernel.open("/dev/iommu", .readWrite)
        let device = try driver.openNode(1, iommufd, ioas: try driver.ask(iommufd, ABI.makeIOAS()))
        let buffer = try driver.export(device, bar: 2, 0..<4096)
        let (here, there) = sockets()
        try driver.kernel.send(buffer, over: here)
        try driver.close(buffer)
        #expect(machine.openFiles.contains { $0.kind == .dmaBuf(name: "") && $0.descriptorCount == 0 })
        let received = try driver.kernel.receiveDescriptor(from: there)
        #expect(try driver.kernel.size(of: received) == 4096)
        try driver.close(received, here, there, device, iommufd)
        #expect(machine.openFiles.isEmpty)
    }

    @Test func othersGoToTheSystem() throws {
        let kernel = MockMachine().kernel
        let event = try kernel.makeEvent()
        var one: UInt64 = 1
        #expect(try withUnsafeBytes(of: &one) { try kernel.write(event, from: $0) } == 8)
        #expect(try kernel.waitUntilReadable(event, timeout: 0))
        let file = try kernel.open("/proc/self/status", .readOnly)
        #expect(throws: Errno.inappropriateIOCTLForDevice) {
            try kernel.control(file, CVFIO_DEVICE_RESET, value: 0)
        }
        try kernel.close(file)
        try kernel.close(event)
    }

    @Test func fdinfoTellsOfADMABuf() throws {
        let driver = Driver(PathTests.makeMachine(.stock))
        let kernel = driver.kernel
        let (container, group, device) = try driver.openLegacy("0000:00:03.0", group: 2)
        func text(_ file: FileDescriptor) throws -> String {
            String(decoding: try kernel.readFile(FilePath("/proc/self/fdinfo/\(file.rawValue)")), as: UTF8.self)
        }
        let buffer = try driver.export(device, bar: 2, 0..<8192)
        let end = "size:\t8192\ncount:\t1\nexp_name:\tvfio_pci_core\n"
        #expect(try text(buffer).hasPrefix("pos:\t0\nflags:\t02000002\nmnt_id:\t"))
        #expect(try text(buffer).hasSuffix(end))
        for name in ["first", ""] {
            try driver.ask(buffer, ABI.setDMABufName(name))
            #expect(try text(buffer).hasSuffix(end + "name:\t\(name)\n"))
        }
        let opened = try kernel.open(FilePath("/proc/self/fdinfo/\(buffer.rawValue)"), .readOnly)
        #expect(try kernel.size(of: opened) == UInt64(try text(buffer).utf8.count))
        try kernel.close(opened)
        let copy = try kernel.duplicate(buffer)
        #expect(try text(copy).contains("\ncount:\t2\n"))
        // Read only, and inherited.
        let words: [UInt32] = [40, CVFIO_DEVICE_FEATURE_GET | CVFIO_DEVICE_FEATURE_DMA_BUF, 2, 0, 0, 1, 0, 0, 4096, 0]
        let plain = FileDescriptor(
            rawValue: Int32(try driver.control(device, CVFIO_DEVICE_FEATURE, words: words)))
        #expect(try text(plain).contains("\nflags:\t00\n"))
        #expect(try text(container).contains("\nflags:\t02100002\n"))
        #expect(try text(device).hasSuffix("\nvfio-device-syspath: /sys/devices/pci0000:00/0000:00:03.0\n"))
        try driver.close(buffer, copy, plain, device, group, container)
        #expect(throws: Errno.noSuchFileOrDirectory) { try text(buffer) }
        // Files of the host are the host's to tell of.
        let event = try kernel.makeEvent()
        #expect(try text(event).contains("eventfd-count"))
        try kernel.close(event)
    }

    /// In a process of its own, since the tests beside this one open and close descriptors too.
    @Test func nothingStaysOpenInTheProcess() async {
        await #expect(processExitsWith: .success) {
            func count() throws -> Int { try HostKernel().names(in: "/proc/self/fd").count }
            try FullUse.run(MockMachine())
            let before = try count()
            // A leak grows with each run. What Dispatch and the test library open lazily meanwhile does not.
            for _ in 0..<16 { try FullUse.run(MockMachine()) }
            try #require(try count() < before + 16)
        }
    }
}

/// Something of everything, to the end.
enum FullUse {
    static func run(_ machine: MockMachine) throws {
        machine.plug(EduModel(), at: "0000:00:02.0")
        machine.plug(SharedMemoryModel(byteCount: 1 << 20), at: "0000:00:03.0")
        let driver = Driver(machine)
        let (iommufd, ioas) = try driver.openIOMMUFD()
        let edu = try driver.openNode(0, iommufd, ioas: ioas)
        let peer = try driver.openNode(1, iommufd, ioas: ioas)
        let buffer = try driver.export(peer, bar: 2, 0..<4096)
        try driver.mapFile(iommufd, ioas, buffer, 4096, at: 0x1000)
        let event = try driver.kernel.makeEvent()
        try driver.enableMSI(edu, CVFIO_PCI_MSI_IRQ_INDEX, [event])
        let window = try driver.mapBAR(peer, 2, 4096)
        try driver.setCommand(peer, 0)
        let memory = try driver.allocate(4096)
        try driver.map(iommufd, ioas, memory.baseAddress!, 4096, at: 0x10000)
        try driver.kernel.unmap(memory)
        try driver.kernel.unmap(window)
        try driver.close(event, buffer, peer, edu, iommufd)
        #expect(machine.openFiles.isEmpty)
    }
}
