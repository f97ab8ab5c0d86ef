@testable import VFIO

@Suite struct PowerOfTwoTests {
    @Test func alignment() {
        #expect((0 as UInt64).isAligned(to: 4096))
        #expect((8192 as UInt64).isAligned(to: 4096))
        #expect(!(4097 as UInt64).isAligned(to: 4096))
        #expect(UInt64.max.isAligned(to: 1))
        #expect((1 << 63 as UInt64).isAligned(to: 1 << 63))
    }

    @Test func roundingUp() {
        #expect((0 as UInt64).roundedUp(to: 4096) == 0)
        #expect((1 as UInt64).roundedUp(to: 4096) == 4096)
        #expect((4096 as UInt64).roundedUp(to: 4096) == 4096)
        #expect(UInt64.max.roundedUp(to: 1) == .max)
        #expect((UInt64.max - 4095).roundedUp(to: 4096) == UInt64.max - 4095)
        #expect((UInt64.max - 4094).roundedUp(to: 4096) == nil)
        #expect(UInt64.max.roundedUp(to: 2) == nil)
    }
}
