@testable import VFIO
@testable import VFIOPassthrough

/// What of a BAR becomes memory of a guest.
@Suite struct GuestBARLayoutTests {
    private func pieces(_ mappable: [Range<UInt64>], _ trapped: [Range<UInt64>] = []) -> [Range<UInt64>] {
        GuestBARLayout.pieces(mappable: mappable, trapped: trapped, pageSize: 4096)
    }

    @Test func allOfIt() {
        #expect(pieces([0..<0x4000]) == [0..<0x4000])
        #expect(pieces([]) == [])
    }

    @Test func whatIsTrappedTakesWholePages() {
        #expect(pieces([0..<0x4000], [0x2000..<0x2410]) == [0..<0x2000, 0x3000..<0x4000])
        #expect(pieces([0..<0x4000], [0x1fff..<0x2001]) == [0..<0x1000, 0x3000..<0x4000])
        #expect(pieces([0..<0x4000], [0x10..<0x20]) == [0x1000..<0x4000])
        #expect(pieces([0..<0x4000], [0x3ff0..<0x4000]) == [0..<0x3000])
        #expect(pieces([0..<0x4000], [0..<0x4000]) == [])
        #expect(pieces([0..<0x4000], [0x1000..<0x1000]) == [0..<0x4000])
    }

    @Test func trapsMayTouchAndOverlap() {
        #expect(
            pieces([0..<0x8000], [0x5000..<0x6000, 0x1000..<0x1010, 0x1020..<0x1030, 0x2000..<0x3000])
                == [0..<0x1000, 0x3000..<0x5000, 0x6000..<0x8000])
        #expect(pieces([0..<0x8000], [0..<0x7000, 0x1000..<0x2000]) == [0x7000..<0x8000])
        #expect(pieces([0..<0x4000], [0x3000..<(.max)]) == [0..<0x3000])
    }

    @Test func onlyWholePagesOfSparseAreas() {
        #expect(pieces([0x800..<0x2800]) == [0x1000..<0x2000])
        #expect(pieces([0x800..<0x1800]) == [])
        // The driver's areas stay apart, and are put in order.
        #expect(pieces([0x2000..<0x3000, 0..<0x2000]) == [0..<0x2000, 0x2000..<0x3000])
    }

    @Test func areasThatOverlapAreMappedOnce() {
        #expect(pieces([0..<0x3000, 0x1000..<0x5000]) == [0..<0x3000, 0x3000..<0x5000])
        #expect(pieces([0..<0x3000, 0x1000..<0x2000]) == [0..<0x3000])
    }
}
