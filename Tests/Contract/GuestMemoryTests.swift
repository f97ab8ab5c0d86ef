import Glibc

@testable import VFIO
@testable import VFIOPassthrough

/// A guest's memory, mapped where the guest sees it.
extension Contract.GuestMemoryTests {
    /// A small PC: with the hole below 1 MiB, and with memory above 4 GiB.
    private static let layout: [GuestMemoryRange] = [
        .new(at: 0x1_0000_0000, byteCount: 2 << 20), .new(at: 0, byteCount: 640 << 10),
        .new(at: 0x10_0000, byteCount: 4 << 20),
    ]

    @Test("devices see a layout where the guest does, and nothing in its holes", arguments: Scenario.all)
    func layout(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        let edu = try EduDriver(at: bench.edu, in: space)
        let memory = try GuestMemory(Self.layout, in: space)
        #expect(memory.ranges == [0...0x9_ffff, 0x10_0000...0x4f_ffff, 0x1_0000_0000...0x1_001f_ffff])
        let landing = try space.allocate(byteCount: 4096, placement: .fixed(0x8000_0000))
        for (index, address) in [0x1000, 0x9_ff00, 0x10_0000, 0x1_001f_ff00].enumerated() {
            let bytes = (0..<32).map { UInt8($0 + index) }
            let guest = GuestAddress(UInt64(address))
            try memory.withMemory(at: guest) { (view, offset) throws(VFIOError) in
                for (step, byte) in bytes.enumerated() { view.write8(byte, at: offset + step) }
            }
            #expect(try edu.bytes(32, at: guest.iova, by: landing) == bytes)
            try edu.write(bytes.reversed(), at: guest.iova + 32, by: landing)
            let written = try memory.withMemory(at: guest) { (view, offset) throws(VFIOError) in
                (0..<32).map { view.read8(at: offset + 32 + $0) }
            }
            #expect(written == bytes.reversed())
        }
        try bench.expectFault(.read, at: 0xa_0000, by: bench.edu) { _ = try edu.bytes(16, at: 0xa_0000, by: landing) }
        expectRefusal(.notFound) { try memory.withMemory(at: 0xa_0000) { (_, _) throws(VFIOError) in } }
        try closeAll(landing, memory, edu)
    }

    @Test("memory is plugged in and taken out", arguments: Scenario.all)
    func hotPlug(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        let edu = try EduDriver(at: bench.edu, in: space)
        let memory = try GuestMemory(Self.layout, in: space)
        let landing = try space.allocate(byteCount: 4096, placement: .fixed(0x8000_0000))
        try memory.add([.new(at: 0x2_0000_0000, byteCount: 1 << 20), .new(at: 0x50_0000, byteCount: 4096)])
        #expect(memory.ranges.count == 5)
        try memory.withMemory(at: 0x2_0000_0000) { (view, offset) throws(VFIOError) in
            view.write32(0xfeed, at: offset)
        }
        #expect(try edu.bytes(2, at: 0x2_0000_0000, by: landing) == [0xed, 0xfe])
        // All or none: the second is there already.
        expectRefusal(.alreadyMapped) {
            try memory.add([.new(at: 0x3_0000_0000, byteCount: 4096), .new(at: 0x2_000f_f000, byteCount: 8192)])
        }
        #expect(memory.ranges.count == 5)
        try memory.remove(at: 0x2_0000_0000)
        expectRefusal(.notFound) { try memory.remove(at: 0x2_0000_0000) }
        try bench.expectFault(.read, at: 0x2_0000_0000, by: bench.edu) {
            _ = try edu.bytes(16, at: 0x2_0000_0000, by: landing)
        }
        // Its place is free.
        try memory.add([.new(at: 0x2_0000_0000, byteCount: 1 << 20)])
        try closeAll(landing, memory, edu)
    }

    @Test("a layout that cannot be is refused as a whole, and says where", arguments: Scenario.all)
    func refusals(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        let edu = try EduDriver(at: bench.edu, in: space)
        func refused(_ code: VFIOError.Code, _ ranges: [GuestMemoryRange]) -> String? {
            refusal(code) { _ = try GuestMemory([.new(at: 0, byteCount: 4096)] + ranges, in: space) }
        }
        let hole = refused(.outOfRange, [.new(at: 0x10_0000, byteCount: 0xfeff_0000)])
        #expect(hole?.contains("4278124544 bytes at guest address 0x100000: it hits 0xfee00000...0xfeefffff") == true)
        _ = refused(.outOfRange, [.new(at: 0xfff_ffff_ffff_f000, byteCount: 4096)])
        _ = refused(.outOfRange, [.new(at: 0xffff_ffff_ffff_f000, byteCount: 8192)])
        _ = refused(.misaligned, [.new(at: 0x1800, byteCount: 4096)])
        _ = refused(.misaligned, [.new(at: 0x2000, byteCount: 100)])
        _ = refused(.misaligned, [.new(at: 0x2000, byteCount: 2 << 20, pages: .huge2MiB)])
        _ = refused(.invalidArgument, [.new(at: 0x2000, byteCount: 0)])
        _ = refused(.invalidArgument, [.new(at: 0x2000, byteCount: 4096, access: [])])
        let overlap = refused(.alreadyMapped, [.new(at: 0x4000, byteCount: 8192), .new(at: 0x5000, byteCount: 4096)])
        #expect(overlap?.contains("0x4000...0x5fff") == true)
        let buffer = try space.allocate(byteCount: 4096, placement: .fixed(0x9000))
        _ = refused(.alreadyMapped, [.new(at: 0x8000, byteCount: 16384)])
        try buffer.close()
        // Nothing of any of these layouts is left.
        let memory = try GuestMemory([.new(at: 0, byteCount: 64 << 10)], in: space)
        try closeAll(memory, edu)
    }

    @Test("what the kernel refuses takes the rest of the layout back", arguments: Scenario.all)
    func rollback(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        let edu = try EduDriver(at: bench.edu, in: space)
        // Memory that nobody may touch.
        let hole = UnsafeMutableRawBufferPointer(
            start: try bench.kernel.map(
                MemoryMapRequest(
                    byteCount: 4096, source: .anonymous(hugePageSize: nil), isReadable: false,
                    isWritable: false)), count: 4096)
        expectRefusal(.kernel, .badAddress) {
            _ = try GuestMemory([.new(at: 0, byteCount: 4096), .unsafeMemory(hole, at: 0x10_0000)], in: space)
        }
        let memory = try GuestMemory([.new(at: 0, byteCount: 4096)], in: space)
        try memory.close()
        try bench.kernel.unmap(hole)
        try edu.close()
    }

    @Test("memory of the caller's, of a file, and in huge pages", arguments: Scenario.all)
    func sources(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        let edu = try EduDriver(at: bench.edu, in: space)
        let landing = try space.allocate(byteCount: 4096, placement: .fixed(0x8000_0000))
        let own = try Memory(bench.kernel, pageCount: 2)
        let path = FilePath("/dev/shm/swift-vfio-guest-\(getpid())")
        let file = try FileDescriptor.open(
            path, .readWrite, options: [.create, .truncate, .closeOnExec], permissions: .ownerReadWrite)
        #expect(unlink(path.string) == 0)
        #expect(ftruncate(file.rawValue, 65536) == 0)
        let memory = try GuestMemory(
            [
                .unsafeMemory(own.bytes, at: 0), .file(file, offset: 8192, at: 0x10_0000, byteCount: 8192),
                .new(at: 0x20_0000, byteCount: 2 << 20, pages: .huge2MiB),
            ], in: space)
        own.bytes.storeBytes(of: 0x1234, toByteOffset: 4096, as: UInt16.self)
        #expect(try edu.bytes(2, at: 0x1000, by: landing) == [0x34, 0x12])
        // What a device writes is in the file.
        try edu.write([5, 6, 7, 8], at: 0x10_0010, by: landing)
        var bytes = [UInt8](repeating: 0, count: 4)
        #expect(try bytes.withUnsafeMutableBytes { try file.read(fromAbsoluteOffset: 8192 + 16, into: $0) } == 4)
        #expect(bytes == [5, 6, 7, 8])
        try edu.write([9], at: 0x3f_ffff, by: landing)
        let last = try memory.withUnsafeMemory(at: 0x20_0000) { (bytes) throws(VFIOError) in bytes.last }
        #expect(last == 9)
        expectRefusal(.notFound) { try memory.withUnsafeMemory(at: 0x20_1000) { (_) throws(VFIOError) in } }
        try closeAll(file, landing, memory, own, edu)
    }

    @Test("a container has nothing to map into before its first device", arguments: Scenario.all)
    func beforeTheDevice(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        if scenario.usesIOMMUFD {
            let memory = try GuestMemory(Self.layout, in: space)
            let edu = try EduDriver(at: bench.edu, in: space)
            try closeAll(edu, memory)
        } else {
            expectRefusal(.noDevice) { _ = try GuestMemory(Self.layout, in: space) }
        }
    }
}

/// Expects the library's refusal, and gives its words.
private func refusal(_ code: VFIOError.Code, _ body: () throws -> Void) -> String? {
    let error = #expect(throws: VFIOError.self) { try body() }
    #expect(error?.code == code, "\(error?.description ?? "")")
    return error?.description
}
