@testable import VFIO

@Suite struct InterruptTableTests {
    private final class Owner: VectorOwner {
        let event: FileDescriptor
        init(_ event: CInt) { self.event = FileDescriptor(rawValue: event) }
        func vectorWasLost(_ errno: Errno) {}
    }

    private let first = Owner(40)
    private let other = Owner(41)

    @Test func itBeginsEmpty() {
        let table = InterruptTable()
        #expect(table[.msi, 0] == nil)
        #expect(!table.isOn(.msi))
        #expect(table.conflict(with: .msi) == nil)
    }

    @Test func vectorsOfAKindAreKeptApart() {
        var table = InterruptTable()
        table.insert(.msix, 3, first)
        table.insert(.msix, 2047, other)
        #expect(table[.msix, 3] == first.event)
        #expect(table[.msix, 2047] == other.event)
        #expect(table[.msix, 0] == nil)
        #expect(table[.msi, 3] == nil)
        table.remove(.msix, 2047)
    }

    @Test func aKindIsOnUntilItsLastVectorIsOff() {
        var table = InterruptTable()
        table.insert(.msi, 0, first)
        table.insert(.msi, 1, other)
        table.remove(.msi, 0)
        #expect(table.isOn(.msi))
        table.remove(.msi, 1)
        #expect(!table.isOn(.msi))
        table.remove(.msi, 7)
        #expect(!table.isOn(.msi))
    }

    @Test func theKindsOfTheDeviceExcludeEachOther() {
        let kinds: [InterruptIndex] = [.intx, .msi, .msix]
        for one in kinds {
            var table = InterruptTable()
            table.insert(one, 0, first)
            for two in kinds { #expect(table.conflict(with: two) == (one == two ? nil : one)) }
            #expect(table.conflict(with: .error) == nil)
            #expect(table.conflict(with: .request) == nil)
            table.remove(one, 0)
            for two in kinds { #expect(table.conflict(with: two) == nil) }
        }
    }

    @Test func theHostsKindsExcludeNothing() {
        var table = InterruptTable()
        table.insert(.error, 0, first)
        table.insert(.request, 0, other)
        table.insert(InterruptIndex(rawValue: 9), 0, other)
        for kind in [.intx, .msi, .msix, .error, .request] as [InterruptIndex] {
            #expect(table.conflict(with: kind) == nil)
        }
    }

    @Test func aVectorBelongsToItsOwnerAndNotToItsNumber() {
        var table = InterruptTable()
        table.insert(.msix, 0, first)
        #expect(table.isOn(.msix, 0, of: first))
        #expect(!table.isOn(.msix, 0, of: other))
        table.remove(.msix, 0)
        table.insert(.msix, 0, other)
        #expect(!table.isOn(.msix, 0, of: first))
        #expect(!table.isOn(.msi, 0, of: other))
    }

    @Test func thoseWhoLoseTheirVectorsAreNamed() {
        var table = InterruptTable()
        table.insert(.msix, 0, first)
        table.insert(.msix, 5, other)
        table.insert(.request, 0, other)
        table.allocated[.msix] = 6
        let losers = table.removeAll(.msix)
        #expect(Set(losers.map { $0.event.rawValue }) == [40, 41])
        #expect(!table.isOn(.msix) && table.allocated[.msix] == nil)
        #expect(table.isOn(.request))
        #expect(table.removeAll(.msix).isEmpty)
    }
}
