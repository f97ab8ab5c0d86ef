import Synchronization

@testable import VFIO

/// What the kernel is given by each request, and what is made of its answers.
@Suite struct ABITests {
    /// A request, and the words of its structure; `nil` for those of an address.
    struct Case: Sendable, CustomTestStringConvertible {
        let number: UInt
        let words: [UInt32?]
        let request: @Sendable () -> any ABIRequest

        init(_ number: UInt, _ words: [UInt32?], _ request: @escaping @Sendable () -> any ABIRequest) {
            self.number = number
            self.words = words
            self.request = request
        }

        var testDescription: String { "\(request().call.name) \(words.compactMap { $0 })" }
    }

    /// What a kernel was given: the number and the words.
    private final class Given: Sendable {
        private let calls = Mutex<[(UInt, [UInt32])]>([])
        func add(_ number: UInt, _ bytes: UnsafeMutableRawBufferPointer) {
            let words = stride(from: 0, to: bytes.count - 3, by: 4).map {
                bytes.load(fromByteOffset: $0, as: UInt32.self)
            }
            calls.withLock { $0.append((number, words)) }
        }
        var all: [(UInt, [UInt32])] { calls.withLock { $0 } }
    }

    /// A file of a kernel that takes everything.
    private func file(_ given: Given) -> BorrowedDescriptor {
        let kernel = ScriptedKernel()
        kernel.answerAll { (number, bytes) throws(Errno) in
            given.add(number, bytes)
            return 0
        }
        return BorrowedDescriptor(kernel.makeDescriptor("file"), of: kernel)
    }

    @Test(arguments: container + device + features + iommufd + others)
    func theStructureIsTheKernels(_ one: Case) throws {
        let given = Given()
        try send(one.request(), to: file(given))
        #expect(given.all.count == 1)
        let (number, words) = try #require(given.all.first)
        #expect(number == one.number)
        #expect(words.count == one.words.count)
        for (word, expected) in zip(words, one.words) {
            if let expected { #expect(word == expected, "of \(words)") }
        }
    }

    private func send(_ request: some ABIRequest, to file: BorrowedDescriptor) throws(Errno) {
        _ = try request.perform(on: file)
    }

    private static let guest16: ABI.TypedData = (2, [UInt8](repeating: 0, count: 16))
    private static var memory: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: UnsafeRawPointer(bitPattern: 0x2_0000_1000), count: 0x3000)
    }
    private static let fd = FileDescriptor(rawValue: 7)

    static let container: [Case] = [
        Case(CVFIO_GROUP_GET_STATUS, [8, 0]) { ABI.isGroupViable() },
        Case(CVFIO_GROUP_SET_CONTAINER, [7]) { ABI.setContainer(fd) },
        Case(CVFIO_GROUP_GET_DEVICE_FD, [0x3030_3030, 0x3a30_303a]) { ABI.getGroupDevice("0000:00:") },
        Case(CVFIO_IOMMU_MAP_DMA, [32, 3, 0x1000, 2, 0x5000, 1, 0x3000, 0]) {
            ABI.mapDMA(memory, at: 0x1_0000_5000, isReadable: true, isWritable: true)
        },
        Case(CVFIO_IOMMU_MAP_DMA, [32, 2, 0x1000, 2, 0x5000, 0, 0x3000, 0]) {
            ABI.mapDMA(memory, at: 0x5000, isReadable: false, isWritable: true)
        },
        Case(CVFIO_IOMMU_MAP_DMA, [32, 4, 0x1000, 2, 0x5000, 0, 0x3000, 0]) { ABI.updateVaddr(memory, at: 0x5000) },
        Case(CVFIO_IOMMU_UNMAP_DMA, [24, 0, 0x5000, 1, 0x3000, 2]) {
            ABI.unmapDMA(0x1_0000_5000, byteCount: 0x2_0000_3000)
        },
        Case(CVFIO_IOMMU_UNMAP_DMA, [24, 4, 0x5000, 0, 0x3000, 0]) {
            ABI.unmapDMA(0x5000, byteCount: 0x3000, isAddressOnly: true)
        },
        Case(CVFIO_IOMMU_UNMAP_DMA, [48, 1, 0x5000, 0, 0x3000, 0, 0x1000, 0, 8, 0, nil, nil]) {
            ABI.unmapDMA(0x5000, byteCount: 0x3000, readingPagesOf: 0x1000)
        },
        Case(CVFIO_IOMMU_DIRTY_PAGES, [8, 1]) { ABI.trackDirtyPages(true) },
        Case(CVFIO_IOMMU_DIRTY_PAGES, [8, 2]) { ABI.trackDirtyPages(false) },
        Case(CVFIO_IOMMU_DIRTY_PAGES, [48, 4, 0x5000, 0, 0x4_1000, 0, 0x1000, 0, 16, 0, nil, nil]) {
            ABI.readDirtyPages(0x5000, byteCount: 0x4_1000, pageSize: 0x1000)
        },
    ]

    static let device: [Case] = [
        Case(CVFIO_DEVICE_IOEVENTFD, [32, 4, 0x1008, 1, 9, 0, 7, 0]) {
            ABI.setRegisterWrite(9, width: 4, at: 0x1_0000_1008, by: fd)
        },
        Case(CVFIO_DEVICE_IOEVENTFD, [32, 8, 8, 0, 9, 2, .max, 0]) {
            ABI.setRegisterWrite(0x2_0000_0009, width: 8, at: 8, by: nil)
        },
        Case(CVFIO_DEVICE_GET_IRQ_INFO, [16, 0, 2, 0]) { ABI.getIRQInfo(2) },
        Case(CVFIO_DEVICE_SET_IRQS, [20, 1 | 1 << 3, 0, 5, 1]) { ABI.setIRQs(.mask, 0, from: 5, count: 1) },
        Case(CVFIO_DEVICE_SET_IRQS, [24, 2 | 1 << 5, 2, 5, 4, 0x0001_0001]) {
            ABI.setIRQs(.trigger, 2, from: 5, .chosen([true, false, true, false]))
        },
        Case(CVFIO_DEVICE_SET_IRQS, [28, 4 | 1 << 4, 1, 0, 2, 7, .max]) {
            ABI.setIRQs(.unmask, 1, from: 0, .events([fd, nil]))
        },
        Case(CVFIO_DEVICE_PCI_HOT_RESET, [20, 0, 2, 7, 8]) { ABI.hotReset([fd, FileDescriptor(rawValue: 8)]) },
        Case(CVFIO_DEVICE_QUERY_GFX_PLANE, [64, 4, 1] + zeroes(13)) { ABI.queryPlane(1, inRegion: true) },
        Case(CVFIO_DEVICE_QUERY_GFX_PLANE, [64, 3, 0] + zeroes(13)) {
            ABI.queryPlane(0, inRegion: false, isProbe: true)
        },
        Case(CVFIO_DEVICE_GET_GFX_DMABUF, [3]) { ABI.getPlaneDMABuf(3) },
        // Kernels before the token and the PASIDs know a shorter structure.
        Case(CVFIO_DEVICE_BIND_IOMMUFD, [16, 0, 7, 0, 0, 0]) { ABI.bindDevice(to: fd, token: nil) },
        Case(CVFIO_DEVICE_BIND_IOMMUFD, [24, 1, 7, 0, nil, nil]) {
            ABI.bindDevice(to: fd, token: [UInt8](repeating: 1, count: 16))
        },
        Case(CVFIO_DEVICE_ATTACH_IOMMUFD_PT, [12, 0, 77, 0]) { ABI.attachDevice(to: 77) },
        Case(CVFIO_DEVICE_ATTACH_IOMMUFD_PT, [16, 1, 77, 12]) { ABI.attachDevice(to: 77, pasid: 12) },
        Case(CVFIO_DEVICE_DETACH_IOMMUFD_PT, [8, 0, 0]) { ABI.detachDevice() },
        Case(CVFIO_DEVICE_DETACH_IOMMUFD_PT, [12, 1, 12]) { ABI.detachDevice(pasid: 12) },
        Case(CVFIO_MIG_GET_PRECOPY_INFO, [24] + zeroes(5)) { ABI.getPreCopyProgress() },
    ]

    private static let get: UInt32 = 1 << 16
    private static let set: UInt32 = 1 << 17

    static let features: [Case] = [
        Case(CVFIO_DEVICE_FEATURE, [8, 1 << 18 | 11]) { ABI.probeFeature(11) },
        Case(CVFIO_DEVICE_FEATURE, [24, set | 0, 0x0302_0100, 0x0706_0504, 0x0b0a_0908, 0x0f0e_0d0c]) {
            ABI.setVFToken(Array(0..<16))
        },
        Case(CVFIO_DEVICE_FEATURE, [16, get | 1, 0, 0]) { ABI.getMigration() },
        Case(CVFIO_DEVICE_FEATURE, [16, get | 2, 0, 0]) { ABI.getMigrationState() },
        Case(CVFIO_DEVICE_FEATURE, [16, set | 2, 4, .max]) { ABI.setMigrationState(4) },
        Case(CVFIO_DEVICE_FEATURE, [8, set | 3]) { ABI.enterLowPower() },
        Case(CVFIO_DEVICE_FEATURE, [16, set | 4, 7, 0]) { ABI.enterLowPower(untilWakeupBy: fd) },
        Case(CVFIO_DEVICE_FEATURE, [8, set | 5]) { ABI.leaveLowPower() },
        Case(CVFIO_DEVICE_FEATURE, [32, set | 6, 0x1000, 0, 2, 0, nil, nil]) {
            ABI.startDMALog(of: [0..<8, 16..<24], pageSize: 0x1000)
        },
        Case(CVFIO_DEVICE_FEATURE, [8, set | 7]) { ABI.stopDMALog() },
        Case(CVFIO_DEVICE_FEATURE, [40, get | 8, 0x5000, 0, 0x2000, 0, 0x1000, 0, nil, nil]) {
            ABI.readDMALog(0x5000, byteCount: 0x2000, pageSize: 0x1000)
        },
        Case(CVFIO_DEVICE_FEATURE, [16, get | 9, 0, 0]) { ABI.getMigrationDataSize() },
        Case(CVFIO_DEVICE_FEATURE, [12, set | 10, 1]) { ABI.setBusMaster(true) },
        Case(CVFIO_DEVICE_FEATURE, [12, set | 10, 0]) { ABI.setBusMaster(false) },
        Case(CVFIO_DEVICE_FEATURE, [56, get | 11, 2, 0o2000002, 0, 2, 0x1000, 0, 0x2000, 0, 0, 1, 0x1000, 0]) {
            ABI.exportDMABuf(of: 2, [0x1000..<0x3000, 1 << 32..<0x1_0000_1000], isWritable: true)
        },
        Case(CVFIO_DEVICE_FEATURE, [24, get | 11, 0, 0o2000000, 0, 0]) {
            ABI.exportDMABuf(of: 0, [], isWritable: false)
        },
        Case(CVFIO_DEVICE_FEATURE, [8, set | 12]) { ABI.enablePreCopyFlags() },
        Case(CVFIO_DEVICE_FEATURE, [16, get | 13, nil, nil]) { ABI.takeZPCIError(byteCount: 5) },
    ]

    static let iommufd: [Case] = [
        Case(CIOMMU_DESTROY, [8, 9]) { ABI.destroy(9) },
        Case(CIOMMU_IOAS_ALLOC, [12, 0, 0]) { ABI.makeIOAS() },
        Case(CIOMMU_IOAS_ALLOW_IOVAS, [24, 3, 2, 0, nil, nil]) { ABI.allowIOVAs(3, [0...1, 4...9]) },
        Case(CIOMMU_IOAS_MAP, [40, 7, 3, 0, 0x1000, 2, 0x3000, 0, 0x5000, 1]) {
            ABI.mapMemory(3, memory, at: 0x1_0000_5000, isReadable: true, isWritable: true)
        },
        Case(CIOMMU_IOAS_MAP_FILE, [40, 5, 3, 7, 0x1000, 0, 0x2000, 0, 0x5000, 0]) {
            ABI.mapFile(3, fd, from: 0x1000, byteCount: 0x2000, at: 0x5000, isReadable: true, isWritable: false)
        },
        Case(CIOMMU_IOAS_COPY, [40, 3, 3, 4, 0x2000, 0, 0x5000, 0, 0x6000, 0]) {
            ABI.copyMapping(to: 3, at: 0x5000, from: 4, 0x6000, byteCount: 0x2000, isReadable: false, isWritable: true)
        },
        Case(CIOMMU_IOAS_UNMAP, [24, 3, 0x5000, 0, 0x2000, 0]) { ABI.unmap(3, 0x5000, byteCount: 0x2000) },
        Case(CIOMMU_IOAS_CHANGE_PROCESS, [8, 0]) { ABI.changeProcess() },
        Case(CIOMMU_IOAS_NOIOMMU_GET_PA, [40, 0, 3, 0, 0x5000, 0, 0x2000, 0, 0, 0]) {
            ABI.getPhysicalAddress(3, 0x5000, byteCount: 0x2000)
        },
        Case(CIOMMU_OPTION, [24, 0, 1, 0, 0, 0]) { ABI.accounting() },
        Case(CIOMMU_OPTION, [24, 1, 0, 3, 1, 0]) { ABI.largePages(of: 3, 1) },
        Case(CIOMMU_VFIO_IOAS, [12, 0, 0]) { ABI.containerSpace(.get) },
        Case(CIOMMU_VFIO_IOAS, [12, 3, 1]) { ABI.containerSpace(.set(3)) },
        Case(CIOMMU_VFIO_IOAS, [12, 0, 2]) { ABI.containerSpace(.clear) },
        Case(CIOMMU_GET_HW_INFO, [40, 0, 9, 256, nil, nil, 0, 0, 0, 0]) { ABI.getHardwareInfo(of: 9) },
        Case(CIOMMU_GET_HW_INFO, [40, 1, 9, 256, nil, nil, 3, 0, 0, 0]) { ABI.getHardwareInfo(of: 9, type: 3) },
        Case(CIOMMU_HWPT_ALLOC, [48, 0b1001, 9, 3, 0, 0, 0, 0, 0, 0, 0, 0]) {
            ABI.makePageTable(for: 9, over: 3, flags: 0b1001, faults: nil)
        },
        Case(CIOMMU_HWPT_ALLOC, [48, 0b110, 9, 3, 0, 0, 2, 16, nil, nil, 5, 0]) {
            ABI.makePageTable(for: 9, over: 3, flags: 0b10, faults: 5, guest: guest16)
        },
        Case(CIOMMU_HWPT_SET_DIRTY_TRACKING, [16, 1, 77, 0]) { ABI.setDirtyTracking(of: 77, true) },
        Case(CIOMMU_HWPT_SET_DIRTY_TRACKING, [16, 0, 77, 0]) { ABI.setDirtyTracking(of: 77, false) },
        Case(CIOMMU_HWPT_GET_DIRTY_BITMAP, [48, 77, 1, 0, 0x5000, 0, 0x2000, 0, 0x1000, 0, nil, nil]) {
            ABI.getDirtyBitmap(of: 77, 0x5000, byteCount: 0x2000, pageSize: 0x1000, keepsMarks: true)
        },
        Case(CIOMMU_FAULT_QUEUE_ALLOC, [16, 0, 0, 0]) { ABI.makeFaultQueue() },
        Case(CIOMMU_VIOMMU_ALLOC, [40, 0, 2, 9, 77, 0, 16, 0, nil, nil]) {
            ABI.makeVirtualIOMMU(for: 9, over: 77, guest16)
        },
        Case(CIOMMU_VDEVICE_ALLOC, [24, 80, 9, 0, 5, 1]) { ABI.makeVirtualDevice(9, in: 80, number: 0x1_0000_0005) },
        Case(CIOMMU_VEVENTQ_ALLOC, [32, 0, 80, 1, 64, 0, 0, 0]) { ABI.makeEventQueue(in: 80, type: 1, depth: 64) },
        Case(CIOMMU_HW_QUEUE_ALLOC, [40, 0, 80, 1, 2, 0, 0x5000, 0, 0x1000, 0]) {
            ABI.makeHardwareQueue(in: 80, type: 1, index: 2, at: 0x5000, byteCount: 0x1000)
        },
    ]

    static let others: [Case] = [
        Case(CDMA_BUF_SET_NAME, [0x0065_6d61]) { ABI.setDMABufName("ame") },
        Case(CDMA_BUF_IOCTL_SYNC, [3, 0]) { ABI.syncDMABuf(isEnd: false, isRead: true, isWritten: true) },
        Case(CDMA_BUF_IOCTL_SYNC, [6, 0]) { ABI.syncDMABuf(isEnd: true, isRead: false, isWritten: true) },
        Case(CKVM_CREATE_DEVICE, [4, 0, 0]) { ABI.makeVFIODevice() },
        Case(CKVM_CREATE_DEVICE, [4, 0, 1]) { ABI.makeVFIODevice(onlyAsking: true) },
        Case(CKVM_SET_DEVICE_ATTR, [0, 1, 1, 0, nil, nil]) { ABI.addVFIOFile(fd) },
        Case(CKVM_SET_DEVICE_ATTR, [0, 1, 2, 0, nil, nil]) { ABI.removeVFIOFile(fd) },
        Case(CKVM_IRQFD, [7, 24, 0, 0] + zeroes(4)) { ABI.setIRQFD(fd, to: 24) },
        Case(CKVM_IRQFD, [7, 24, 2, 8] + zeroes(4)) {
            ABI.setIRQFD(fd, to: 24, acknowledgedBy: FileDescriptor(rawValue: 8))
        },
        Case(CKVM_IRQFD, [7, 24, 1, 0] + zeroes(4)) { ABI.setIRQFD(fd, to: 24, isEnd: true) },
        Case(CKVM_IOEVENTFD, [9, 0, 0x1000, 0, 4, 7, 1] + zeroes(9)) {
            ABI.setIOEventFD(fd, onWriteOf: 9, width: 4, at: 0x1000)
        },
        Case(CKVM_IOEVENTFD, [9, 0, 0x1000, 0, 4, 7, 5] + zeroes(9)) {
            ABI.setIOEventFD(fd, onWriteOf: 9, width: 4, at: 0x1000, isEnd: true)
        },
        Case(CKVM_SET_USER_MEMORY_REGION, [3, 2, 0x1000, 0, 0x2000, 0, 0x5000, 1]) {
            ABI.setMemorySlot(3, at: 0x1000, byteCount: 0x2000, address: 0x1_0000_5000, isWritable: false)
        },
        Case(CKVM_SET_USER_MEMORY_REGION, [3] + zeroes(7)) { ABI.setMemorySlot(3) },
    ]

    private static func zeroes(_ count: Int) -> [UInt32?] { [UInt32?](repeating: 0, count: count) }

    // MARK: What a structure points to, and what comes back

    /// Makes a request of a kernel that looks at the structure, and may change it.
    private func ask<Answer>(
        _ request: some ABIRequest<Answer>,
        _ kernel: @escaping @Sendable (UnsafeMutableRawBufferPointer) throws(Errno) -> Int
    ) throws(Errno) -> Answer {
        let scripted = ScriptedKernel()
        scripted.answerAll { (_, bytes) throws(Errno) in try kernel(bytes) }
        return try request.perform(on: BorrowedDescriptor(scripted.makeDescriptor("file"), of: scripted))
    }

    private func words(at word: Int, of bytes: UnsafeMutableRawBufferPointer) -> UnsafeMutablePointer<UInt64> {
        UnsafeMutablePointer(bitPattern: UInt(bytes.loadUnaligned(fromByteOffset: word * 4, as: UInt64.self)))!
    }

    private func expectPointee(_ request: some ABIRequest, at word: Int, _ expected: [UInt64]) throws {
        _ = try ask(request) { (bytes) throws(Errno) in
            let found = words(at: word, of: bytes)
            #expect(expected.indices.map { found[$0] } == expected)
            return 0
        }
    }

    @Test func whatIsPointedToIsThere() throws {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let data = [UInt8](repeating: 1, count: 16)
        try expectPointee(ABI.allowIOVAs(3, [0...1, 4...9]), at: 4, [0, 1, 4, 9])
        try expectPointee(ABI.startDMALog(of: [0..<8, 16..<25], pageSize: 1), at: 6, [0, 8, 16, 9])
        try expectPointee(ABI.bindDevice(to: Self.fd, token: data), at: 4, [ones, ones])
        try expectPointee(
            ABI.makePageTable(for: 9, over: 3, flags: 0, faults: nil, guest: (2, data)), at: 8, [ones, ones])
        try expectPointee(ABI.makeVirtualIOMMU(for: 9, over: 3, (2, data)), at: 8, [ones, ones])
        _ = try ask(ABI.addVFIOFile(Self.fd)) { (bytes) throws(Errno) in
            #expect(UnsafePointer<Int32>(OpaquePointer(words(at: 4, of: bytes))).pointee == 7)
            return 0
        }
    }

    @Test func bitmapsAreReadUpToTheirLastPage() throws {
        let fill = { @Sendable [self] (word: Int) in
            { @Sendable (bytes: UnsafeMutableRawBufferPointer) throws(Errno) -> Int in
                words(at: word, of: bytes)[0] = .max
                return 0
            }
        }
        #expect(try ask(ABI.readDirtyPages(0, byteCount: 0x3000, pageSize: 0x1000), fill(10)) == [7])
        let unmapped = try ask(ABI.unmapDMA(0, byteCount: 0x3000, readingPagesOf: 0x1000), fill(10))
        #expect(unmapped.byteCount == 0x3000)
        #expect(unmapped.words == [7])
        let bitmap = ABI.getDirtyBitmap(of: 1, 0, byteCount: 0x3000, pageSize: 0x1000, keepsMarks: false)
        #expect(try ask(bitmap, fill(10)) == [7])
        #expect(try ask(ABI.readDMALog(0, byteCount: 0x3000, pageSize: 0x1000), fill(8)) == [7])
    }

    /// A kernel that numbers the words of the structure, from 0, and gives a result.
    private func numbered<Answer>(_ request: some ABIRequest<Answer>, result: Int = 0) throws(Errno) -> Answer {
        try ask(request) { (bytes) throws(Errno) in
            for word in 0..<bytes.count / 4 {
                bytes.storeBytes(of: UInt32(word), toByteOffset: word * 4, as: UInt32.self)
            }
            return result
        }
    }

    @Test func answersAreWhereTheKernelPutsThem() throws {
        #expect(try numbered(ABI.isGroupViable()))
        #expect(try numbered(ABI.getGroupDevice("name"), result: 9).rawValue == 9)
        #expect(try numbered(ABI.unmapDMA(0, byteCount: 1)).size == 5 << 32 | 4)
        #expect(try numbered(ABI.getIRQInfo(2)).count == 3)
        #expect(try numbered(ABI.getPlaneDMABuf(3), result: 9).rawValue == 9)
        #expect(try numbered(ABI.bindDevice(to: Self.fd, token: nil)) == 3)
        #expect(try numbered(ABI.getMigration()) == 3 << 32 | 2)
        #expect(try numbered(ABI.getMigrationState()) == 2)
        #expect(try numbered(ABI.setMigrationState(1))?.rawValue == 3)
        #expect(try numbered(ABI.getMigrationDataSize()) == 3 << 32 | 2)
        #expect(try numbered(ABI.startDMALog(of: [0..<1], pageSize: 1)) == 3 << 32 | 2)
        let progress = try numbered(ABI.getPreCopyProgress())
        #expect(progress == (3 << 32 | 2, 5 << 32 | 4, true))
        #expect(try numbered(ABI.exportDMABuf(of: 0, [], isWritable: true), result: 9).rawValue == 9)
        #expect(try numbered(ABI.makeIOAS()) == 2)
        #expect(try numbered(ABI.unmap(3, 0, byteCount: 1)).length == 5 << 32 | 4)
        #expect(try numbered(ABI.getPhysicalAddress(3, 0, byteCount: 1)) == (9 << 32 | 8, 7 << 32 | 6))
        #expect(try numbered(ABI.accounting()) == 5 << 32 | 4)
        #expect(try numbered(ABI.containerSpace(.get)) == 1)
        let hardware = try numbered(ABI.getHardwareInfo(of: 9))
        #expect((hardware.type, hardware.capabilities, hardware.pasidBits) == (6, 9 << 32 | 8, 7))
        #expect(hardware.data == [0, 0, 0])
        #expect(try numbered(ABI.makePageTable(for: 9, over: 3, flags: 0, faults: nil)) == 4)
        #expect(try numbered(ABI.makeFaultQueue()) == (2, FileDescriptor(rawValue: 3)))
        #expect(try numbered(ABI.makeVirtualIOMMU(for: 9, over: 3, (1, []))).id == 5)
        #expect(try numbered(ABI.makeVirtualDevice(9, in: 3, number: 1)) == 3)
        #expect(try numbered(ABI.makeEventQueue(in: 3, type: 1, depth: 1)) == (5, FileDescriptor(rawValue: 6)))
        #expect(try numbered(ABI.makeHardwareQueue(in: 3, type: 1, index: 1, at: 0, byteCount: 1)) == 5)
        #expect(try numbered(ABI.makeVFIODevice()).rawValue == 1)
    }

    @Test func entriesToInvalidateAreCounted() {
        let given = Given()
        let result = ABI.invalidate(77, Self.guest16, count: 2, size: 8, on: file(given))
        #expect(result == (2, nil))
        #expect(given.all.first?.0 == CIOMMU_HWPT_INVALIDATE)
        #expect(
            given.all.first?.1.indices.filter { $0 != 2 && $0 != 3 }.map { given.all[0].1[$0] } == [32, 77, 2, 8, 2, 0])
    }

    @Test func fewerVectorsThanAskedForAreNone() {
        let request = ABI.setIRQs(.trigger, 2, from: 0, .events([Self.fd]))
        #expect(throws: Errno.noSpace) { try ask(request) { (_) throws(Errno) in 1 } }
    }

    // MARK: Refusals

    private func refusal<Answer>(
        _ request: some ABIRequest<Answer>, _ errno: Errno, lacking hint: String? = nil,
        _ refusals: [Errno: Refusal] = [:]
    ) -> VFIOError? {
        let kernel = ScriptedKernel()
        kernel.answerAll { (_, _) throws(Errno) in throw errno }
        let file = BorrowedDescriptor(kernel.makeDescriptor("file"), of: kernel)
        return #expect(throws: VFIOError.self) {
            _ = try request.perform(on: file, "do it", "the file", lacking: hint, refusals: refusals)
        }
    }

    @Test func aRefusalSaysWhatWasTried() {
        #expect(
            refusal(ABI.destroy(1), .ioError)
                == VFIOError(.kernel, "do it (IOMMU_DESTROY)", "the file", errno: .ioError))
        #expect(
            refusal(ABI.destroy(1), .resourceBusy, [.resourceBusy: (.inUse, "wait")])
                == VFIOError(.inUse, "do it (IOMMU_DESTROY)", "the file", errno: .resourceBusy, hint: "wait"))
    }

    @Test(arguments: [.inappropriateIOCTLForDevice, .notSupported, .invalidArgument] as [Errno])
    func whatIsLackingIsUnsupported(_ errno: Errno) {
        let isEINVAL = errno == .invalidArgument
        #expect(refusal(ABI.makeFaultQueue(), errno, lacking: "newer")?.code == (isEINVAL ? .kernel : .unsupported))
        #expect(refusal(ABI.makeFaultQueue(), errno)?.code == .kernel)
        #expect(refusal(ABI.attachDevice(to: 1, pasid: 1), errno, lacking: "newer")?.hint == "newer")
        // The caller knows better.
        #expect(refusal(ABI.makeFaultQueue(), errno, lacking: "newer", [errno: (.busy, nil)])?.code == .busy)
    }

    @Test func aMachineThatIsNoneIsAnInvalidArgument() {
        #expect(refusal(ABI.setMemorySlot(1), .inappropriateIOCTLForDevice)?.code == .invalidArgument)
        #expect(refusal(ABI.setMemorySlot(1), .ioError)?.hint?.contains("another process's") == true)
        #expect(refusal(ABI.setMemorySlot(1), .noMemory)?.hint == nil)
    }
}
