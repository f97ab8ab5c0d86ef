@Suite struct TestFrameTests {
    /// The bytes of a frame, by way of a pool.
    private func bytes(_ frame: TestFrame, number: UInt64) throws -> [UInt8] {
        let machine = MockNetworkMachine()
        let space = try AddressSpace(.iommufd, kernel: machine.kernel)
        var pool = try PacketPool(in: space, count: 1)
        let allocated = pool.allocate(length: TestFrame.byteCount)
        let packet = try #require(allocated)
        frame.write(number, to: pool.frame(of: packet))
        #expect(frame.number(of: pool.frame(of: packet)) == number)
        let bytes = pool.frame(of: packet).bytes(count: TestFrame.byteCount)
        for offset in [0, 14, 47, 56, 59] {
            pool.frame(of: packet).write8(bytes[offset] ^ 1, at: offset)
            #expect(frame.number(of: pool.frame(of: packet)) == nil, "byte \(offset)")
            pool.frame(of: packet).write8(bytes[offset], at: offset)
        }
        try pool.close()
        return bytes
    }

    /// The checksum of the internet: 0xffff for what holds its own (RFC 1071).
    private func sum(_ bytes: [UInt8]) -> UInt32 {
        var sum: UInt32 = 0
        for index in stride(from: 0, to: bytes.count, by: 2) {
            sum += UInt32(bytes[index]) << 8 | UInt32(bytes[index + 1])
            sum = (sum & 0xffff) + sum >> 16
        }
        return sum
    }

    @Test(arguments: [0, 1, 0x0123_4567_89ab_cdef, UInt64.max])
    func checksums(number: UInt64) throws {
        let frame = TestFrame(from: MACAddress(0x0102_0304_0506), to: MACAddress(0x0a0b_0c0d_0e0f), hasChecksum: true)
        let bytes = try bytes(frame, number: number)
        #expect(Array(bytes[..<14]) == [0xa, 0xb, 0xc, 0xd, 0xe, 0xf, 1, 2, 3, 4, 5, 6, 8, 0])
        #expect(sum(Array(bytes[14..<34])) == 0xffff)
        // UDP's goes over the addresses, the protocol and the length as well.
        #expect(sum(Array(bytes[26..<60]) + [0, 17, 0, 26]) == 0xffff)
        #expect((0..<8).reduce(0) { $0 << 8 | UInt64(bytes[48 + $1]) } == number)
    }

    @Test func noChecksum() throws {
        let frame = TestFrame(from: MACAddress(1), to: MACAddress(2))
        #expect(try bytes(frame, number: 7)[40..<42] == [0, 0])
    }
}
