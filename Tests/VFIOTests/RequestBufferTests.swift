import Glibc

@testable import VFIO

@Suite struct RequestBufferTests {
    @Test func itIsZeroedAndAligned() {
        for byteCount in [1, 8, 31, 4096] {
            let buffer = RequestBuffer(byteCount: byteCount)
            #expect(buffer.byteCount == byteCount)
            #expect(UInt(bitPattern: buffer.bytes.baseAddress) % 8 == 0)
            #expect(buffer.bytes.allSatisfy { $0 == 0 })
        }
    }

    @Test func itBeginsWithItsHeader() {
        let buffer = RequestBuffer(UInt32(0xdead_beef), tail: 3)
        #expect(buffer.byteCount == 7)
        #expect(buffer.header(UInt32.self) == 0xdead_beef)
        #expect(buffer.load(UInt8.self, at: 4) == 0)
    }

    @Test func loadsAreWhollyInsideOrNil() {
        let buffer = RequestBuffer(byteCount: 12)
        buffer.store(UInt32(7), at: 8)
        #expect(buffer.load(UInt32.self, at: 8) == 7)
        #expect(buffer.load(UInt32.self, at: 9) == nil)
        #expect(buffer.load(UInt8.self, at: 11) == 0)
        #expect(buffer.load(UInt8.self, at: 12) == nil)
        #expect(buffer.load(UInt8.self, at: 13) == nil)
        #expect(buffer.load(UInt8.self, at: -1) == nil)
        #expect(buffer.load(UInt64.self, at: .max) == nil)
        #expect(buffer.load(UInt64.self, at: .max - 7) == nil)
        #expect(buffer.load(UInt64.self, at: .min) == nil)
    }

    @Test func loadsNeedNoAlignment() {
        let buffer = RequestBuffer(byteCount: 12)
        buffer.store(UInt64(0x0102_0304_0506_0708), at: 3)
        #expect(buffer.load(UInt64.self, at: 3) == 0x0102_0304_0506_0708)
        #expect(buffer.load(UInt8.self, at: 3) == 0x08)
    }

    @Test func aStoreOutsideStopsTheProgram() async {
        await #expect(processExitsWith: .signal(SIGILL)) { RequestBuffer(byteCount: 4).store(UInt32(0), at: 1) }
        await #expect(processExitsWith: .signal(SIGILL)) { RequestBuffer(byteCount: 4).store(UInt8(0), at: -1) }
    }
}
