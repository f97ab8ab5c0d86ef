@testable import VFIO

@Suite struct OwnedDescriptorTests {
    private let kernel = ScriptedKernel()

    @Test func itIsClosedAtTheEndOfItsLife() {
        do {
            let owned = OwnedDescriptor(kernel.makeDescriptor("node"), of: kernel)
            #expect(kernel.openNames == ["node"])
            _ = owned.descriptor
        }
        #expect(kernel.openNames.isEmpty)
        #expect(kernel.calls == ["close"])
    }

    @Test func closeClosesItOnce() throws {
        do {
            let owned = OwnedDescriptor(kernel.makeDescriptor("node"), of: kernel)
            try owned.close()
            #expect(kernel.openNames.isEmpty)
        }
        #expect(kernel.calls == ["close"])
    }

    @Test func aFailedCloseIsReportedAndNotTriedAgain() {
        #expect(throws: Errno.badFileDescriptor) {
            try OwnedDescriptor(FileDescriptor(rawValue: 3), of: kernel).close()
        }
        #expect(kernel.calls == ["close"])
    }

    @Test func releaseHandsItOver() {
        let handed: FileDescriptor
        do {
            let owned = OwnedDescriptor(kernel.makeDescriptor("node"), of: kernel)
            handed = owned.release()
        }
        #expect(kernel.openNames == ["node"])
        #expect(kernel.calls.isEmpty)
        #expect(handed.rawValue > 0)
    }

    @Test func aDeinitKeepsSilent() {
        do { _ = OwnedDescriptor(FileDescriptor(rawValue: 3), of: kernel) }
        #expect(kernel.calls == ["close"])
    }
}
