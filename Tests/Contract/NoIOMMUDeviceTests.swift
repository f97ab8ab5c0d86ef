@testable import VFIO
@testable import VFIOPassthrough

extension Offer {
    /// vfio-pci takes devices without an IOMMU (CONFIG_VFIO_NOIOMMU, which Debian's kernels do not have).
    var hasUnsafeNoIOMMUMode: Bool { name == "iommufd" }
}

/// Devices that no IOMMU serves.
extension Contract.NoIOMMUDeviceTests {
    @Test("are refused where nobody said that they may do without protection", arguments: Scenario.all)
    func withoutSayingSo(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        let error = #expect(throws: VFIOError.self) { _ = try Device(at: bench.noIOMMUEdu, in: space) }
        #expect(error?.errno == nil)
        if bench.offer.hasUnsafeNoIOMMUMode {
            #expect(error?.code == .unsupported)
            #expect(error?.hint?.contains("NoIOMMUAddressSpace") == true, "\(String(describing: error))")
        } else {
            #expect(error?.code == .notBoundToVFIO)
            #expect(error?.hint?.contains("enable_unsafe_noiommu_mode") == true, "\(String(describing: error))")
        }
        // It has not even been opened: the next user finds it free.
        if bench.offer.hasUnsafeNoIOMMUMode {
            let unprotected = try bench.makeNoIOMMUSpace()
            let device = try Device(at: bench.noIOMMUEdu, in: unprotected)
            try device.close()
        }
    }

    @Test("are nothing that a kernel without the mode takes", arguments: Scenario.all)
    func lacking(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        guard !bench.offer.hasUnsafeNoIOMMUMode else {
            let chosen = try NoIOMMUAddressSpace(kernel: bench.kernel)
            #expect(chosen.interface == .iommufd)
            #expect(try bench.makeNoIOMMUSpace().interface == scenario.interface)
            return
        }
        expectRefusal(.unsupported) { _ = try bench.makeNoIOMMUSpace() }
        expectRefusal(.unsupported) { _ = try NoIOMMUAddressSpace(kernel: bench.kernel) }
        expectRefusal(.unsupported, .noSuchFileOrDirectory) {
            _ = try NoIOMMUAddressSpace(.iommufd, kernel: bench.kernel)
        }
        // The driver says so to who binds the device by name, and nothing to who asks for any driver.
        let address = Array("\(bench.noIOMMUEdu)".utf8)
        try bench.kernel.writeFile("/sys/bus/pci/drivers_probe", address)
        #expect(throws: Errno.invalidArgument) {
            try bench.kernel.writeFile("/sys/bus/pci/drivers/vfio-pci/bind", address)
        }
        #expect(throws: Errno.noSuchFileOrDirectory) {
            try bench.kernel.readLink(FilePath("/sys/bus/pci/devices/\(bench.noIOMMUEdu)/iommu_group"))
        }
    }

    @Test("work as others do, but for their DMA [vfio-noiommu-pci-device-open]", arguments: Scenario.all)
    func registers(_ scenario: Scenario) throws {
        try runWithMode(scenario) { (bench, space) in
            let edu = try EduDriver(at: bench.noIOMMUEdu, in: space)
            #expect(try edu.identification() == 0x0100_00ed)
            #expect(try edu.liveness(0x1234_5678) == ~0x1234_5678)
            #expect(try edu.factorial(of: 6) == 720)
            #expect(try edu.device.region(.bar0).byteCount == 1 << 20)
            // No message of this device is remapped and no pin of it is routed in the lab: only the loopback is seen.
            let pin = try edu.device.enable(.intx)
            try pin.trigger()
            #expect(try pin.wait(timeout: .seconds(5)) == 1)
            try pin.close()
            let other = edu.device.address
            expectRefusal(.busy, .resourceBusy) {
                // By another way to it: the group and the node exclude each other, and so do two users of one.
                let second = try NoIOMMUAddressSpace(.type1, kernel: bench.kernel)
                _ = try Device(at: other.pci!, in: second)
            }
            try edu.close()
        }
    }

    @Test("reach memory by its physical address (IOMMU_IOAS_NOIOMMU_GET_PA)", arguments: Scenario.all)
    func memory(_ scenario: Scenario) throws {
        try runWithMode(scenario) { (bench, space) in
            guard scenario.usesIOMMUFD else {
                let device = try Device(at: bench.noIOMMUEdu, in: space)
                expectRefusal(.unsupported) { _ = try space.allocate(byteCount: 4096) }
                let memory = try Memory(bench.kernel, pageCount: 1)
                let error = #expect(throws: VFIOError.self) { _ = try space.map(memory.bytes) }
                #expect(error?.code == .unsupported)
                #expect(error?.hint?.contains("NoIOMMUAddressSpace(.iommufd)") == true)
                try closeAll(memory, device)
                return
            }
            let edu = try EduDriver(at: bench.noIOMMUEdu, in: space)
            let source = try space.allocate(byteCount: 64 << 10)
            let target = try space.allocate(byteCount: 64 << 10)
            for page in 0..<16 { source.write32(0xabcd_0000 + UInt32(page), at: page * 4096 + 8) }
            let pieces = try source.physicalRanges()
            #expect(pieces.reduce(0) { $0 + $1.byteCount } == 64 << 10)
            #expect(Set(pieces.map(\.address)).count == pieces.count)
            // The first and the last page, and what is there by each page's own address.
            for page in [0, 15] {
                let offset = UInt64(page) * 4096 + 8
                let from = try source.physicalRange(at: offset)
                let to = try target.physicalRange(at: offset)
                #expect(from.address.rawValue % 4096 == 8)
                try edu.load(4, from: IOVA(from.address.rawValue))
                try edu.store(4, to: IOVA(to.address.rawValue))
                #expect(target.read32(at: page * 4096 + 8) == 0xabcd_0000 + UInt32(page))
            }
            #expect(target.read32(at: 4096 + 8) == 0)
            // Each piece says of its bytes what is asked for one by one.
            var offset: UInt64 = 0
            for piece in pieces {
                #expect(try source.physicalRange(at: offset) == piece)
                let last = try source.physicalRange(at: offset + piece.byteCount - 1)
                #expect(last == PhysicalRange(address: piece.address + (piece.byteCount - 1), byteCount: 1))
                offset += piece.byteCount
            }
            expectRefusal(.outOfRange) { _ = try source.physicalRange(at: 64 << 10) }
            try closeAll(target, source, edu)
        }
    }

    @Test("reach memory of the caller's, the same by each mapping of it", arguments: Scenario.all)
    func callersMemory(_ scenario: Scenario) throws {
        try runWithMode(scenario) { (bench, space) in
            guard scenario.usesIOMMUFD else { return }
            let edu = try EduDriver(at: bench.noIOMMUEdu, in: space)
            let memory = try Memory(bench.kernel, pageCount: 2)
            memory.bytes.storeBytes(of: 0x600d, toByteOffset: 4096, as: UInt32.self)
            let one = try space.map(memory.bytes)
            let two = try space.map(memory.bytes)
            let landing = try space.allocate(byteCount: 4096)
            #expect(try one.physicalRanges() == (try two.physicalRanges()))
            try edu.load(4, from: IOVA(try two.physicalRange(at: 4096).address.rawValue))
            try edu.store(4, to: IOVA(try landing.physicalRange().address.rawValue))
            #expect(landing.read32(at: 0) == 0x600d)
            expectRefusal(.misaligned) { _ = try space.map(.init(rebasing: memory.bytes[8...])) }
            try closeAll(landing, one, two, memory, edu)
        }
    }

    @Test("find a huge page in one piece", arguments: Scenario.all)
    func hugePage(_ scenario: Scenario) throws {
        try runWithMode(scenario) { (bench, space) in
            guard scenario.usesIOMMUFD else { return }
            let device = try Device(at: bench.noIOMMUEdu, in: space)
            let buffer = try space.allocate(byteCount: 2 << 20, pages: .huge2MiB)
            let pieces = try buffer.physicalRanges()
            #expect(pieces.map(\.byteCount) == [2 << 20])
            #expect(pieces[0].address.rawValue % (2 << 20) == 0)
            try closeAll(buffer, device)
        }
    }

    @Test("have memory pinned while one of them is open", arguments: Scenario.all)
    func pinnedWhileOpen(_ scenario: Scenario) throws {
        try runWithMode(scenario) { (bench, space) in
            guard scenario.usesIOMMUFD else { return }
            let buffer = try space.allocate(byteCount: 4096)
            expectRefusal(.noDevice, .notSupported) { _ = try buffer.physicalRange() }
            let device = try Device(at: bench.noIOMMUEdu, in: space)
            #expect(try buffer.physicalRange().byteCount == 4096)
            try device.close()
            expectRefusal(.noDevice, .notSupported) { _ = try buffer.physicalRange() }
            let again = try Device(at: bench.noIOMMUEdu, in: space)
            #expect(try buffer.physicalRange().byteCount == 4096)
            try closeAll(again, buffer)
        }
    }

    @Test("have nothing of what needs an IOMMU", arguments: Scenario.all)
    func refusals(_ scenario: Scenario) throws {
        try runWithMode(scenario) { (bench, space) in
            let device = try Device(at: bench.noIOMMUEdu, in: space)
            let plain = device.space
            expectRefusal(.unsupported) { _ = try plain.allocate(byteCount: 4096) }
            let memory = try Memory(bench.kernel, pageCount: 1)
            expectRefusal(.unsupported) { _ = try plain.map(memory.bytes) }
            try memory.close()
            expectRefusal(.unsupported) { _ = try plain.makeSibling() }
            expectRefusal(.unsupported) { _ = try plain.type1Info() }
            expectRefusal(.unsupported) { _ = try plain.startDirtyTracking() }
            expectRefusal(.unsupported) { _ = try device.iommuHardware() }
            expectRefusal(.unsupported) { _ = try device.makePageTable() }
            expectRefusal(.unsupported) { try device.detach() }
            try device.close()
            try refusesPeers(bench, plain)
        }
    }

    /// Another device's memory is nothing for them either.
    private func refusesPeers(_ bench: borrowing Bench, _ plain: AddressSpace) throws {
        let space = try bench.makeSpace()
        let nvme = try Device(at: bench.nvme, in: space)
        try nvme.setMemoryDecode(true)
        let bar = try nvme.map(.bar2, 0..<4096)
        expectRefusal(.unsupported) { _ = try plain.unsafelyMapWithoutRevocation(bar) }
        try bar.close()
        let window = try nvme.exportDMABuf(of: .bar2, 0..<4096)
        expectRefusal(.unsupported) { _ = try plain.map(window) }
        try window.close()
        let raw = try RawMachine(bench.kernel)
        do {
            let machine = try VirtualMachine(raw.descriptor, kernel: bench.kernel)
            expectRefusal(.unsupported) { _ = try nvme.makeGuestBAR(.bar2, of: machine, slots: 0..., peersIn: plain) }
        }
        try closeAll(raw, nvme)
    }

    @Test("are not all devices: one behind an IOMMU is refused", arguments: Scenario.all)
    func protectedDevice(_ scenario: Scenario) throws {
        try runWithMode(scenario) { (bench, space) in
            let error = expectRefusal(.unsupported) { _ = try Device(at: bench.edu, in: space) }
            #expect(error?.hint?.contains("AddressSpace") == true)
        }
    }

    /// Runs a test with an address space for devices without an IOMMU. Where the kernel has none, the test is that it
    /// says so.
    private func runWithMode(
        _ scenario: Scenario, sourceLocation: SourceLocation = #_sourceLocation,
        _ body: (borrowing Bench, NoIOMMUAddressSpace) throws -> Void
    ) throws {
        let bench = try scenario.makeBench(sourceLocation: sourceLocation)
        guard bench.offer.hasUnsafeNoIOMMUMode else {
            expectRefusal(.unsupported, sourceLocation: sourceLocation) { _ = try bench.makeNoIOMMUSpace() }
            return
        }
        try body(bench, try bench.makeNoIOMMUSpace())
    }
}
