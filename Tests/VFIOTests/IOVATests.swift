import Glibc

@Suite struct IOVATests {
    @Test(
        arguments: [(0, "0x0"), (0x1000, "0x1000"), (0xfee0_0000, "0xfee00000"), (UInt64.max, "0xffffffffffffffff")]
            as [(UInt64, String)]) func itPrintsInHexadecimal(_ value: UInt64, _ text: String)
    { #expect("\(IOVA(value))" == text) }

    @Test func itIsItsNumber() {
        #expect(IOVA(rawValue: 7) == IOVA(7))
        #expect(IOVA(7).rawValue == 7)
        #expect((7 as IOVA) == IOVA(7))
        #expect(Set<IOVA>([1, 1, 2]).count == 2)
    }

    @Test func theOrderIsUnsigned() {
        #expect(IOVA(0x7fff_ffff_ffff_ffff) < IOVA(0x8000_0000_0000_0000))
        #expect(!(IOVA(1) < IOVA(1)))
    }

    @Test func addingGoesUpToTheLastAddress() {
        #expect(IOVA(0x1000) + 0xff == IOVA(0x10ff))
        #expect(IOVA(UInt64.max - 1) + 1 == IOVA(.max))
    }

    @Test func addingBeyondTheLastAddressStopsTheProgram() async {
        await #expect(processExitsWith: .signal(SIGILL)) { _ = IOVA(.max) + 1 }
    }
}
