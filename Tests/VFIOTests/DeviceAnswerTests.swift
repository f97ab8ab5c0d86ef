import Glibc

@testable import VFIO

/// What the library makes of a kernel's answers about a device: sound ones that no machine here gives, and odd ones.
@Suite struct DeviceAnswerTests {
    private let kernel = ScriptedKernel.machine()

    // MARK: Capabilities of the device

    /// Answers `VFIO_DEVICE_GET_INFO` with capabilities, behind the structure or (before 6.6) behind a shorter one.
    private func answerInfo(at offset: Int = 24, _ capabilities: Bytes) {
        kernel.accept(CVFIO_DEVICE_GET_INFO) { bytes in
            var info = cvfio_device_info()
            info.argsz = UInt32(offset + capabilities.raw.count)
            info.flags = CVFIO_DEVICE_FLAGS_PCI | CVFIO_DEVICE_FLAGS_CAPS
            info.num_regions = CVFIO_PCI_NUM_REGIONS
            info.num_irqs = CVFIO_PCI_NUM_IRQS
            let fits = bytes.count >= offset + capabilities.raw.count
            info.cap_offset = fits ? UInt32(offset) : 0
            withUnsafeBytes(of: info) { source in
                bytes.copyMemory(from: UnsafeRawBufferPointer(rebasing: source[..<min(source.count, offset)]))
            }
            if fits { bytes[offset..<offset + capabilities.raw.count].copyBytes(from: capabilities.raw) }
        }
    }

    @Test func atomicCompletionsAreRead() throws {
        answerInfo(Bytes(capability: CVFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP, [3, 0]))
        let device = try kernel.device()
        #expect(device.info.atomicCompletions == [.bits32, .bits64])
        #expect(device.info.zpci == nil)
    }

    @Test(arguments: [20, 24]) func s390IsRead(_ offset: Int) throws {
        let header = 8
        var bytes = Bytes(capability: CVFIO_DEVICE_INFO_CAP_ZPCI_BASE, version: 3, next: UInt32(offset + 40))
        bytes.append(UInt64(0x1000), UInt64(0xffff), UInt16(1), UInt16(2), UInt16(3), UInt8(4), UInt8(5))
        bytes.append(UInt32(6), UInt32(32))
        #expect(bytes.raw.count == header + 32)
        bytes.raw += Bytes(capability: CVFIO_DEVICE_INFO_CAP_ZPCI_UTIL, [3]).raw + [0xc1, 0xc2, 0xc3]
        answerInfo(at: offset, bytes)
        let device = try kernel.device()
        let zpci = try #require(device.info.zpci)
        let base = try #require(zpci.base)
        #expect(base.dmaRange == 0x1000...0xffff)
        #expect(base.channel == 1 && base.virtualFunction == 2 && base.group == 5)
        #expect(base.handle == 6 && base.errorByteCount == 32)
        #expect(zpci.group == nil)
        #expect(zpci.utilityString == [0xc1, 0xc2, 0xc3])
    }

    @Test func capabilitiesThatAreCutShortAreErrors() throws {
        let headers = (1...5).map { Bytes(capability: $0) }
        let text = Bytes(capability: CVFIO_DEVICE_INFO_CAP_ZPCI_PFIP, [.max])
        let backwards = Bytes(capability: CVFIO_DEVICE_INFO_CAP_ZPCI_BASE, [2, 0, 1, 0, 0, 0])
        for bytes in headers + [text, backwards] {
            answerInfo(bytes)
            #expect(code { _ = try kernel.device() } == .unexpectedAnswer)
        }
        // What nobody knows of is passed over.
        answerInfo(Bytes(capability: 99))
        #expect(code { _ = try kernel.device() } == nil)
    }

    @Test func aPendingErrorIsTakenByItsLength() throws {
        answerInfo(Bytes(capability: CVFIO_DEVICE_INFO_CAP_ZPCI_BASE, version: 3, [0, 0, 1, 0, 0, 0, 0, 4]))
        kernel.accept(CVFIO_DEVICE_FEATURE) { bytes in
            let address = bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
            UnsafeMutablePointer<UInt32>(bitPattern: UInt(address))!.pointee = 0x0403_0201
        }
        let device = try kernel.device()
        #expect(try device.takePendingZPCIError() == [1, 2, 3, 4])
        kernel.refuse(CVFIO_DEVICE_FEATURE, with: .noMessage)
        #expect(try device.takePendingZPCIError() == nil)
        kernel.expectRefusals(of: CVFIO_DEVICE_FEATURE, [.inappropriateIOCTLForDevice: .unsupported]) {
            _ = try device.takePendingZPCIError()
        }
    }

    // MARK: Region types

    @Test func regionTypesHaveNames() {
        typealias TypeID = RegionInfo.TypeID
        #expect(TypeID(type: 0x8000_8086, subtype: 1) == .intelGraphicsOpRegion)
        #expect(TypeID.intelGraphicsLPCBridge.vendor == 0x8086)
        #expect(TypeID(type: 1, subtype: 1) == .graphicsEDID)
        #expect(TypeID.graphicsEDID.vendor == nil)
    }

    // MARK: Hot reset

    /// The number that is answered (without one, one more than there is room for), and whether the functions fit.
    @Test(arguments: [(0, false), (1 << 16 + 1, false), (.max, false), (nil, false), (7, true)] as [(UInt32?, Bool)])
    func aNumberOfFunctionsThatCannotBeIsAnError(_ count: UInt32?, _ fits: Bool) throws {
        kernel.answer(CVFIO_DEVICE_GET_PCI_HOT_RESET_INFO, cvfio_pci_hot_reset_info.self) { (info) throws(Errno) in
            info.count = count ?? (info.argsz - 12) / 8 + 1
            guard fits else { throw .noSpace }
            return 0
        }
        let device = try kernel.device()
        #expect(code { _ = try device.hotResetInfo() } == .unexpectedAnswer)
        #expect(code { try device.hotReset() } == .unexpectedAnswer)
    }

    @Test func ownersAreRead() throws {
        kernel.answer(CVFIO_DEVICE_GET_PCI_HOT_RESET_INFO) { (bytes) throws(Errno) in
            var info = bytes.loadUnaligned(as: cvfio_pci_hot_reset_info.self)
            info.count = 3
            info.flags = CVFIO_PCI_HOT_RESET_FLAG_DEV_ID
            bytes.storeBytes(of: info, as: cvfio_pci_hot_reset_info.self)
            guard bytes.count >= 36 else { throw .noSpace }
            for (index, id) in [CVFIO_PCI_DEVID_OWNED, CVFIO_PCI_DEVID_NOT_OWNED, 9].enumerated() {
                bytes.storeBytes(of: id, toByteOffset: 12 + index * 8, as: UInt32.self)
                bytes[12 + index * 8 + 7] = UInt8(index)
            }
            return 0
        }
        let device = try kernel.device()
        let info = try device.hotResetInfo()
        #expect(info.isOwned == false)
        #expect(info.functions.map(\.owner) == [.ownGroup, .other, .device(id: 9)])
        #expect(info.functions.map(\.address) == ["0000:00:00.0", "0000:00:00.1", "0000:00:00.2"])
        expectError(.busy, hintContaining: "0000:00:00.1 too") { try device.hotReset() }
    }

    // MARK: Interrupts

    @Test func moreVectorsThanCanBeAreAnError() throws {
        kernel.accept(CVFIO_DEVICE_GET_IRQ_INFO, cvfio_irq_info.self) { $0.count = .max }
        let device = try kernel.device()
        #expect(code { _ = try device.interrupts(.msix) } == .unexpectedAnswer)
    }

    @Test func aVectorThatCannotBeSwitchedOffLeavesTheOthersNotOn() throws {
        let device = try kernel.device()
        let vectors = try device.interrupts(.msi).enable(vectors: [0, 1, 2])
        let fourth = try device.interrupts(.msi).enable(vector: 3)
        let seen = noteInterrupts { start, _ in start == 0 }
        let error = failure(closing: vectors)
        #expect(error?.errno == .ioError)
        #expect(seen.all == [0, 1, 1, 1, 2, 1])
        kernel.accept(CVFIO_DEVICE_SET_IRQS)
        try fourth.close()
    }

    /// Answers `VFIO_DEVICE_SET_IRQS` and notes the starts and counts; `isRefused` gets both.
    private func noteInterrupts(
        _ isRefused: @escaping @Sendable (_ start: UInt32, _ count: UInt32) -> Bool = { _, _ in false }
    ) -> Notes<UInt32> {
        let seen = Notes<UInt32>()
        kernel.answer(CVFIO_DEVICE_SET_IRQS) { (bytes) throws(Errno) in
            let request = bytes.load(as: cvfio_irq_set.self)
            seen.add(request.start)
            seen.add(request.count)
            if isRefused(request.start, request.count) { throw .ioError }
            return 0
        }
        return seen
    }

    @Test func whatWasSwitchedOnBeforeARefusalIsSwitchedOffAgain() throws {
        let device = try kernel.device()
        let middle = try device.interrupts(.msi).enable(vector: 1)
        let seen = noteInterrupts { start, _ in start == 2 }
        #expect(code { _ = try device.interrupts(.msi).enable(vectors: [0, 2]) } == .kernel)
        #expect(seen.all == [0, 1, 2, 1, 0, 1])
        try middle.close()
    }

    @Test func vectorsThatCouldNotBeRestoredAreNotOn() throws {
        let device = try kernel.device()
        let first = try device.interrupts(.msix).enable(vector: 0)
        // All off is possible, and nothing after that.
        _ = noteInterrupts { _, count in count > 0 }
        #expect(code { _ = try device.interrupts(.msix).enable(vector: 3) } == .kernel)
        let seen = noteInterrupts()
        // So another kind is no conflict, and there is nothing to switch off.
        let other = try device.interrupts(.msi).enable(vector: 0)
        try first.close()
        #expect(seen.all == [0, 1])
        try other.close()
    }

    @Test func anEventThatWritesARegisterIsEndedOnce() throws {
        let seen = Notes<UInt32>()
        kernel.accept(CVFIO_DEVICE_IOEVENTFD, cvfio_device_ioeventfd.self) { seen.add($0.fd == -1 ? 0 : 1) }
        let device = try kernel.device()
        let event = try device.makeIOEventFD(UInt32(7), at: 8, of: .bar0)
        try event.close()
        #expect(seen.all == [1, 0])
        do { _ = try device.makeIOEventFD(UInt32(7), at: 8, of: .bar0) }
        #expect(seen.all == [1, 0, 1, 0])
    }

    @Test func aSignalDoesNotEndAWait() throws {
        let device = try kernel.device()
        let vector = try device.interrupts(.msi).enable()
        let one: UInt64 = 1
        _ = try withUnsafeBytes(of: one) { bytes in try vector.withEvent { try kernel.write($0, from: bytes) } }
        // The event is there; only the look at it is put off.
        kernel.interruptWaits(2)
        kernel.beforeNextRead {}
        #expect(try vector.wait(timeout: .seconds(10)) == 1)
        let wakeup = try device.enterLowPowerUntilWakeup()
        _ = try withUnsafeBytes(of: one) { bytes in try wakeup.withEvent { try kernel.write($0, from: bytes) } }
        kernel.interruptWaits(2)
        #expect(try wakeup.wait(timeout: .seconds(10)))
        try vector.close()
    }
}
