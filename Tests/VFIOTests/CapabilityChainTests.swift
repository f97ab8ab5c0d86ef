@testable import VFIO

@Suite struct CapabilityChainTests {
    private static let headerSize = 16

    /// Walks a chain whose capabilities are given by offset, and gives the ids that were found.
    private func walk(
        byteCount: Int, from start: UInt32, _ capabilities: [(offset: Int, id: UInt16, next: UInt32)]
    ) throws(VFIOError) -> [UInt16] {
        let buffer = RequestBuffer(byteCount: byteCount)
        for capability in capabilities {
            buffer.store(
                cvfio_info_cap_header(id: capability.id, version: 1, next: capability.next), at: capability.offset)
        }
        let answer = try InfoAnswer<cvfio_group_status>(
            buffer, chainFrom: start, headerSize: Self.headerSize, subject: "it")
        return (0...9).filter { answer.has($0) }
    }

    private func refusal(
        byteCount: Int, from start: UInt32, _ capabilities: [(offset: Int, id: UInt16, next: UInt32)]
    ) -> String? {
        let error = expectError(.unexpectedAnswer) { _ = try walk(byteCount: byteCount, from: start, capabilities) }
        #expect(error?.errno == nil)
        return error?.hint
    }

    @Test func anEmptyChainVisitsNothing() throws {
        #expect(try walk(byteCount: 16, from: 0, []).isEmpty)
        #expect(try walk(byteCount: 64, from: 0, [(16, 1, 0)]).isEmpty)
    }

    @Test func allOfTheChainIsFound() throws {
        #expect(try walk(byteCount: 64, from: 16, [(40, 3, 0), (24, 2, 40), (16, 1, 24)]) == [1, 2, 3])
        #expect(try walk(byteCount: 64, from: 24, [(40, 3, 0), (24, 2, 40), (16, 1, 24)]) == [2, 3])
    }

    /// The kernel appends, so a chain ascends; what points back is taken for a circle even where it is none.
    @Test func aPointerBackIsACircle() {
        #expect(refusal(byteCount: 64, from: 40, [(16, 1, 0), (40, 3, 16)]) == "the chain goes in a circle")
        #expect(
            refusal(byteCount: 64, from: 16, [(16, 1, 40), (24, 2, 0), (40, 3, 24)]) == "the chain goes in a circle")
    }

    @Test func aPointerIntoTheHeaderLeadsNowhere() {
        #expect(
            refusal(byteCount: 64, from: 16, [(16, 1, 8)])
                == "a capability at offset 8 is outside of the 64 bytes of the answer")
    }

    @Test func theSmallestCapabilitiesFillTheAnswer() throws {
        #expect(try walk(byteCount: 32, from: 16, [(16, 1, 24), (24, 2, 0)]) == [1, 2])
        // A step needs no alignment, and the header ends with the answer.
        #expect(try walk(byteCount: 27, from: 19, [(19, 9, 0)]) == [9])
    }

    @Test(arguments: [25, 31, 32, 1 << 20, UInt32.max, UInt32.max - 7] as [UInt32])
    func aCapabilityPastTheEndIsAnError(_ offset: UInt32) {
        #expect(
            refusal(byteCount: 32, from: offset, [])
                == "a capability at offset \(offset) is outside of the 32 bytes of the answer")
        #expect(
            refusal(byteCount: 32, from: 16, [(16, 1, offset)])
                == "a capability at offset \(offset) is outside of the 32 bytes of the answer")
    }

    @Test(arguments: [1, 8, 15] as [UInt32])
    func aCapabilityInTheHeaderIsAnError(_ offset: UInt32) {
        #expect(
            refusal(byteCount: 64, from: offset, [])
                == "a capability at offset \(offset) is outside of the 64 bytes of the answer")
    }

    @Test func circlesAreErrors() {
        #expect(refusal(byteCount: 64, from: 16, [(16, 1, 16)]) == "the chain goes in a circle")
        #expect(refusal(byteCount: 64, from: 16, [(16, 1, 24), (24, 2, 16)]) == "the chain goes in a circle")
        #expect(
            refusal(byteCount: 64, from: 16, [(16, 1, 24), (24, 2, 32), (32, 3, 24)]) == "the chain goes in a circle")
    }

    @Test func anAnswerWithoutRoomForAHeaderIsAnError() {
        #expect(refusal(byteCount: 17, from: 16, [])?.contains("outside of the 17 bytes") == true)
    }

    @Test func whatIsCutShortIsAnError() throws {
        let buffer = RequestBuffer(byteCount: 32)
        buffer.store(cvfio_info_cap_header(id: 1, version: 1, next: 0), at: 16)
        buffer.store(UInt32(7), at: 24)
        let answer = try InfoAnswer<cvfio_group_status>(buffer, chainFrom: 16, headerSize: 16, subject: "it")
        #expect(try answer.capability(1, "name", as: UInt64.self) != nil)
        #expect(try answer.member(of: 1, "name", at: 8, as: UInt32.self) == 7)
        #expect(try answer.elements(of: 1, "name", at: 8, count: 2, as: UInt32.self) == [7, 0])
        #expect(try answer.capability(2, "name", as: UInt64.self) == nil)
        #expect(try answer.elements(of: 2, "name", at: 8, count: 2, as: UInt32.self).isEmpty)
        let errors = [
            #expect(throws: VFIOError.self) { try answer.capability(1, "name", as: cvfio_region_info.self) },
            #expect(throws: VFIOError.self) { try answer.member(of: 1, "name", at: 16, as: UInt8.self) },
            #expect(throws: VFIOError.self) {
                try answer.elements(of: 1, "name", at: 8, count: .max, as: UInt32.self)
            },
        ]
        for error in errors {
            #expect(
                error?.description == "cannot read the capability chain for it: the capability \"name\" is cut short")
        }
    }
}
