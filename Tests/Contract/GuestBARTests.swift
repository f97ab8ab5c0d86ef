@testable import VFIO
@testable import VFIOPassthrough

/// BARs as memory slots of virtual machines.
extension Contract.GuestBARTests {
    @Test("a BAR is shown, moved and hidden", arguments: Scenario.all)
    func slots(_ scenario: Scenario) throws {
        try scenario.runWithKVM { bench, raw in
            let page = try Memory(bench.kernel, pageCount: 1)
            let machine = try VirtualMachine(raw.descriptor, kernel: bench.kernel)
            let device = try Device(at: bench.memory, in: bench.makeSpace(), for: machine)
            try device.setMemoryDecode(true)
            #expect(try device.guestPieces(of: .bar2) == [0..<(16 << 20)])
            let bar = try device.makeGuestBAR(.bar2, of: machine, slots: 7..<9)
            #expect(bar.slots == [7])
            #expect(bar.pieces == [0..<(16 << 20)])
            #expect(bar.address == nil)
            #expect(try raw.isFree(0xc000_0000, page))
            try bar.map(at: 0xc000_0000)
            #expect(bar.address == 0xc000_0000)
            // First page, last page, and what is around them.
            #expect(try raw.isFree(0xc000_0000, page) == false)
            #expect(try raw.isFree(0xc0ff_f000, page) == false)
            #expect(try raw.isFree(0xc100_0000, page))
            #expect(try raw.isFree(0xbfff_f000, page))
            // It is the slot that was asked for: one in use is not for other memory.
            expectErrno(.invalidArgument) { try raw.setSlot(7, at: 0, 4096, page.address) }
            expectRefusal(.inUse) { try bar.map(at: 0xd000_0000) }
            try bar.move(to: 0xd000_0000)
            #expect(try raw.isFree(0xc000_0000, page))
            #expect(try raw.isFree(0xd000_0000, page) == false)
            // Above 4 GiB, and to where it overlaps itself.
            try bar.move(to: 0x10_0000_0000)
            try bar.move(to: 0x10_0000_1000)
            #expect(try raw.isFree(0x10_0000_0000, page))
            try bar.unmap()
            try bar.unmap()
            #expect(bar.address == nil)
            #expect(try raw.isFree(0x10_0000_1000, page))
            try bar.map(at: 0xc000_0000)
            try bar.close()
            #expect(try raw.isFree(0xc000_0000, page))
            try closeAll(device, page)
        }
    }

    @Test("the end of a variable takes the slot away, and keeps the device until then", arguments: Scenario.all)
    func ends(_ scenario: Scenario) throws {
        try scenario.runWithKVM { bench, raw in
            let page = try Memory(bench.kernel, pageCount: 1)
            let space = try bench.makeSpace()
            do {
                let machine = try VirtualMachine(raw.descriptor, kernel: bench.kernel)
                let device = try Device(at: bench.memory, in: space)
                let bar = try device.makeGuestBAR(.bar2, of: machine, slots: 0...)
                try bar.map(at: 0xc000_0000)
                #expect(try raw.isFree(0xc000_0000, page) == false)
            }
            #expect(try raw.isFree(0xc000_0000, page))
            let device = try Device(at: bench.memory, in: space)
            try closeAll(device, page)
        }
    }

    @Test("what is in the way is left alone, and the BAR stays where it was", arguments: Scenario.all)
    func inTheWay(_ scenario: Scenario) throws {
        try scenario.runWithKVM { bench, raw in
            let page = try Memory(bench.kernel, pageCount: 1)
            let machine = try VirtualMachine(raw.descriptor, kernel: bench.kernel)
            let device = try Device(at: bench.memory, in: bench.makeSpace())
            // Of two pieces, so that one can succeed before the other fails.
            let bar = try device.makeGuestBAR(.bar2, of: machine, slots: [3, 4], trapping: [0x1800..<0x1900])
            #expect(bar.pieces == [0..<0x1000, 0x2000..<(16 << 20)])
            try bar.map(at: 0xc000_0000)
            #expect(try raw.isFree(0xc000_1000, page))
            _ = try raw.setSlot(9, at: 0xd000_5000, 4096, page.address)
            expectRefusal(.alreadyMapped, .fileExists) { try bar.move(to: 0xd000_0000) }
            #expect(bar.address == 0xc000_0000)
            #expect(try raw.isFree(0xd000_0000, page))
            #expect(try raw.isFree(0xc000_0000, page) == false)
            _ = try raw.setSlot(9, at: 0, 0, 0)
            try bar.move(to: 0xd000_0000)
            expectRefusal(.misaligned) { try bar.move(to: 0xd000_0100) }
            expectRefusal(.outOfRange) { try bar.move(to: 0xffff_ffff_ffff_f000) }
            // Beyond the addresses that a machine has.
            expectRefusal(.invalidArgument, .invalidArgument) { try bar.move(to: 0x10_0000_0000_0000) }
            #expect(bar.address == 0xd000_0000)
            let other = try device.makeGuestBAR(.bar2, of: machine, slots: [5, 40000])
            // It is one piece, which takes the first slot.
            try other.map(at: 0xe000_0000)
            try other.close()
            // The machine has no slot of this number.
            let odd = try device.makeGuestBAR(.bar2, of: machine, slots: [0xffff])
            expectRefusal(.invalidArgument, .invalidArgument) { try odd.map(at: 0xe000_0000) }
            try closeAll(odd, bar, device, page)
        }
    }

    @Test("memory decode comes first", arguments: Scenario.all)
    func decodeOff(_ scenario: Scenario) throws {
        try scenario.runWithKVM { bench, raw in
            let machine = try VirtualMachine(raw.descriptor, kernel: bench.kernel)
            let device = try Device(at: bench.memory, in: bench.makeSpace())
            try device.setMemoryDecode(false)
            let bar = try device.makeGuestBAR(.bar2, of: machine, slots: [0])
            expectRefusal(.memoryDecodeOff) { try bar.map(at: 0xc000_0000) }
            try device.setMemoryDecode(true)
            try bar.map(at: 0xc000_0000)
            try closeAll(bar, device)
        }
    }

    @Test("what cannot be a slot is refused", arguments: Scenario.all)
    func refusals(_ scenario: Scenario) throws {
        try scenario.runWithKVM { bench, raw in
            let machine = try VirtualMachine(raw.descriptor, kernel: bench.kernel)
            let device = try Device(at: bench.memory, in: bench.makeSpace())
            // 256 bytes.
            expectRefusal(.unsupported) { _ = try device.guestPieces(of: .bar0) }
            expectRefusal(.unsupported) { _ = try device.makeGuestBAR(.bar0, of: machine, slots: 0...) }
            expectRefusal(.notFound) { _ = try device.guestPieces(of: .bar3) }
            expectRefusal(.notFound) { _ = try device.guestPieces(of: .config) }
            expectRefusal(.unsupported) { _ = try device.guestPieces(of: .bar2, trapping: [0..<(16 << 20)]) }
            expectRefusal(.limit) {
                _ = try device.makeGuestBAR(.bar2, of: machine, slots: [1], trapping: [0x5000..<0x5001])
            }
            expectRefusal(.invalidArgument) {
                _ = try device.makeGuestBAR(.bar2, of: machine, slots: [1, 1], trapping: [0x5000..<0x5001])
            }
            try device.close()
        }
    }

    @Test("the MSI-X table stays the host's", arguments: Scenario.all)
    func msixTable(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.nvme, in: bench.makeSpace())
        let table = try #require(try device.read { try $0.msix() }).tableRange
        // Registers with side effects cannot be mapped on each machine.
        if try device.region(.bar0).isMappable {
            let pieces = try device.guestPieces(of: .bar0)
            #expect(pieces == [0..<table.lowerBound, (table.lowerBound + 4096)..<16384])
        } else {
            expectRefusal(.unsupported) { _ = try device.guestPieces(of: .bar0) }
        }
        try device.close()
    }

    @Test("other devices reach the BAR where the guest does", arguments: Scenario.all)
    func peers(_ scenario: Scenario) throws {
        try scenario.runWithKVM { bench, raw in
            let machine = try VirtualMachine(raw.descriptor, kernel: bench.kernel)
            let space = try bench.makeSpace()
            let edu = try EduDriver(at: bench.edu, in: space)
            let device = try Device(at: bench.nvme, in: space)
            guard scenario.usesIOMMUFD else {
                expectRefusal(.unsupported) {
                    _ = try device.makeGuestBAR(.bar2, of: machine, slots: 0..., peersIn: space)
                }
                try closeAll(device, edu)
                return
            }
            let landing = try space.allocate(byteCount: 4096, placement: .fixed(0x8000_0000))
            let mapped = try device.map(.bar2)
            mapped.fill([1, 2, 3, 4], at: 0x3000)
            let bar = try device.makeGuestBAR(
                .bar2, of: machine, slots: 0..., trapping: [0x1000..<0x2000], peersIn: space)
            #expect(bar.peerState == nil)
            try bar.map(at: 0xc000_0000)
            #expect(bar.peerState == .live)
            #expect(try edu.bytes(4, at: 0xc000_3000, by: landing) == [1, 2, 3, 4])
            // What the guest does not see, they do not either.
            try bench.expectFault(.read, at: 0xc000_1000, by: bench.edu) {
                _ = try edu.bytes(4, at: 0xc000_1000, by: landing)
            }
            try bar.move(to: 0xd000_0000)
            #expect(try edu.bytes(4, at: 0xd000_3000, by: landing) == [1, 2, 3, 4])
            try bench.expectFault(.read, at: 0xc000_3000, by: bench.edu) {
                _ = try edu.bytes(4, at: 0xc000_3000, by: landing)
            }
            // A reset revokes, and what the guest sees is put back at the same place.
            try device.reset()
            #expect(bar.peerState == .revoked)
            mapped.fill([5, 6, 7, 8], at: 0x3000)
            try bar.restore()
            #expect(bar.peerState == .live)
            #expect(try edu.bytes(4, at: 0xd000_3000, by: landing) == [5, 6, 7, 8])
            // So does memory decode.
            try device.setMemoryDecode(false)
            expectRefusal(.memoryDecodeOff) { try bar.restore() }
            try device.setMemoryDecode(true)
            try bar.restore()
            #expect(bar.peerState == .live)
            // The guest's other devices have something else there: all or nothing.
            let taken = try space.allocate(byteCount: 4096, placement: .fixed(0xe000_2000))
            expectRefusal(.alreadyMapped, .fileExists) { try bar.move(to: 0xe000_0000) }
            #expect(bar.address == 0xd000_0000)
            #expect(try edu.bytes(4, at: 0xd000_3000, by: landing) == [5, 6, 7, 8])
            try taken.close()
            try bar.unmap()
            try bench.expectFault(.read, at: 0xd000_3000, by: bench.edu) {
                _ = try edu.bytes(4, at: 0xd000_3000, by: landing)
            }
            try bar.restore()
            try closeAll(bar, mapped, landing, device, edu)
        }
    }

    @Test("the kernel's own answers to slots", arguments: Scenario.all)
    func answers(_ scenario: Scenario) throws {
        try scenario.runWithKVM { bench, raw in
            let memory = try Memory(bench.kernel, pageCount: 4)
            let base = memory.address
            expectErrno(.invalidArgument) { try raw.setSlot(0, at: 0, 100, base) }
            expectErrno(.invalidArgument) { try raw.setSlot(0, at: 100, 4096, base) }
            expectErrno(.invalidArgument) { try raw.setSlot(0, at: 0, 4096, base + 100) }
            expectErrno(.invalidArgument) { try raw.setSlot(0, at: 0, 4096, 1 << 63) }
            expectErrno(.invalidArgument) { try raw.setSlot(0, at: 0, 4096, base, flags: 1 << 5) }
            expectErrno(.invalidArgument) { try raw.setSlot(32764, at: 0, 4096, base) }
            expectErrno(.invalidArgument) { try raw.setSlot(2 << 16, at: 0, 4096, base) }
            expectErrno(.invalidArgument) { try raw.setSlot(0, at: 0xffff_ffff_ffff_f000, 8192, base) }
            // There is none to take away.
            expectErrno(.invalidArgument) { try raw.setSlot(0, at: 0, 0, 0) }
            #expect(try raw.setSlot(32763, at: 0x10000, 8192, base) == 0)
            // Nothing changed is nothing wrong; moved; and nothing else.
            #expect(try raw.setSlot(32763, at: 0x10000, 8192, base) == 0)
            #expect(try raw.setSlot(32763, at: 0x11000, 8192, base) == 0)
            #expect(try raw.setSlot(32763, at: 0x11000, 8192, base, flags: CKVM_MEM_LOG_DIRTY_PAGES) == 0)
            expectErrno(.invalidArgument) { try raw.setSlot(32763, at: 0x11000, 4096, base) }
            expectErrno(.invalidArgument) { try raw.setSlot(32763, at: 0x11000, 8192, base + 4096) }
            expectErrno(.invalidArgument) { try raw.setSlot(32763, at: 0x11000, 8192, base, flags: CKVM_MEM_READONLY) }
            expectErrno(.fileExists) { try raw.setSlot(1, at: 0x12000, 4096, base) }
            expectErrno(.fileExists) { try raw.setSlot(1, at: 0x10000, 8192, base) }
            #expect(try raw.setSlot(1, at: 0x10000, 4096, base) == 0)
            // The other address space of the machine has its own.
            #expect(try raw.setSlot(1 << 16 | 1, at: 0x10000, 4096, base) == 0)
            #expect(try raw.setSlot(2, at: 0x13000, 4096, base, flags: CKVM_MEM_READONLY) == 0)
            #expect(try raw.setSlot(1, at: 0, 0, 0) == 0)
            try memory.close()
        }
    }
}
