@testable import VFIO

@Suite struct InterruptTableTests {
    private static let event = FileDescriptor(rawValue: 40)
    private static let other = FileDescriptor(rawValue: 41)

    @Test func itBeginsEmpty() {
        let table = InterruptTable()
        #expect(table[.msi, 0] == nil)
        #expect(!table.isOn(.msi))
        #expect(table.conflict(with: .msi) == nil)
    }

    @Test func vectorsOfAKindAreKeptApart() {
        var table = InterruptTable()
        table[.msix, 3] = Self.event
        table[.msix, 2047] = Self.other
        #expect(table[.msix, 3] == Self.event)
        #expect(table[.msix, 2047] == Self.other)
        #expect(table[.msix, 0] == nil)
        #expect(table[.msi, 3] == nil)
        table[.msix, 2047] = nil
    }

    @Test func aKindIsOnUntilItsLastVectorIsOff() {
        var table = InterruptTable()
        table[.msi, 0] = Self.event
        table[.msi, 1] = Self.other
        table[.msi, 0] = nil
        #expect(table.isOn(.msi))
        table[.msi, 1] = nil
        #expect(!table.isOn(.msi))
        table[.msi, 7] = nil
        #expect(!table.isOn(.msi))
    }

    @Test func theKindsOfTheDeviceExcludeEachOther() {
        let kinds: [InterruptIndex] = [.intx, .msi, .msix]
        for one in kinds {
            var table = InterruptTable()
            table[one, 0] = Self.event
            for two in kinds { #expect(table.conflict(with: two) == (one == two ? nil : one)) }
            #expect(table.conflict(with: .error) == nil)
            #expect(table.conflict(with: .request) == nil)
            table[one, 0] = nil
            for two in kinds { #expect(table.conflict(with: two) == nil) }
        }
    }

    @Test func theHostsKindsExcludeNothing() {
        var table = InterruptTable()
        table[.error, 0] = Self.event
        table[.request, 0] = Self.other
        table[InterruptIndex(rawValue: 9), 0] = Self.other
        for kind in [.intx, .msi, .msix, .error, .request] as [InterruptIndex] {
            #expect(table.conflict(with: kind) == nil)
        }
    }
}
