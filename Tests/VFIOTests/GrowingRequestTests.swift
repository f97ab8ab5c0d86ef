@testable import VFIO

@Suite struct GrowingRequestTests {
    private static let request = CVFIO_DEVICE_GET_REGION_INFO
    private static let headerSize = MemoryLayout<cvfio_region_info>.size

    /// The room that each call had.
    private let rooms = Notes<Int>()

    /// Makes the request of a kernel that wants room as told, and gives the length of the answer.
    private func perform(_ wanted: @escaping @Sendable (_ round: Int) -> Int) throws(VFIOError) -> Int {
        let kernel = ScriptedKernel()
        kernel.answer(Self.request) { [rooms] (bytes) throws(Errno) in
            rooms.add(Int(bytes.load(as: UInt32.self)))
            #expect(rooms.all.last == bytes.count)
            #expect(bytes.load(fromByteOffset: 8, as: UInt32.self) == 3, "the request itself is the same each time")
            #expect(bytes.dropFirst(12).allSatisfy { $0 == 0 }, "and so is its emptiness")
            bytes.storeBytes(of: 0xffff_ffff, toByteOffset: 12, as: UInt32.self)
            bytes.storeBytes(of: UInt32(wanted(rooms.all.count)), as: UInt32.self)
            return 0
        }
        return try ask(kernel).byteCount
    }

    private func ask(_ kernel: ScriptedKernel) throws(VFIOError) -> InfoAnswer<cvfio_region_info> {
        try ABI.getRegionInfo(3).perform(
            on: BorrowedDescriptor(kernel.makeDescriptor("device"), of: kernel), operation: "ask", "it",
            refusals: [.invalidArgument: (.notFound, "there is none")])
    }

    @Test func anAnswerThatFitsTakesOneCall() throws {
        #expect(try perform { _ in Self.headerSize } == Self.headerSize)
        #expect(rooms.all == [Self.headerSize])
    }

    @Test(arguments: [0, 1, 20, 31]) func aSmallerArgszIsAnAnswer(_ argsz: Int) throws {
        #expect(try perform { _ in argsz } == Self.headerSize)
        #expect(rooms.all == [Self.headerSize])
    }

    @Test func aLongerAnswerTakesASecondCall() throws {
        #expect(try perform { _ in 100 } == 100)
        #expect(rooms.all == [Self.headerSize, 100])
    }

    @Test func anAnswerMayShrinkInBetween() throws {
        #expect(try perform { $0 == 1 ? 100 : 40 } == 100)
        #expect(rooms.all == [Self.headerSize, 100])
    }

    @Test func anAnswerMayGrowSomeMore() throws {
        #expect(try perform { min($0 * 100, 300) } == 300)
        #expect(rooms.all == [Self.headerSize, 100, 200, 300])
    }

    @Test func anAnswerThatGrowsForEverIsAnError() {
        expectError(.unexpectedAnswer, hint: "the kernel asks for more room each time it is called") {
            _ = try perform { $0 * 100 }
        }
        #expect(rooms.all.count == 4)
    }

    @Test func theLargestAnswerIsBelieved() throws {
        #expect(try perform { _ in ABI.largestAnswer } == 1 << 20)
    }

    @Test(arguments: [(1 << 20) + 1, 0xffff_ffff]) func aLargerOneIsNot(_ argsz: Int) {
        expectError(.unexpectedAnswer) { _ = try perform { _ in argsz } }
        #expect(rooms.all == [Self.headerSize])
    }

    @Test func aRefusalCarriesItsErrno() {
        let kernel = ScriptedKernel()
        let error = #expect(throws: VFIOError.self) { _ = try ask(kernel) }
        #expect(error == VFIOError(.kernel, "ask", "it", errno: .inappropriateIOCTLForDevice))
        kernel.answer(Self.request) { (_) throws(Errno) in throw .invalidArgument }
        #expect(throws: VFIOError(.notFound, "ask", "it", errno: .invalidArgument, hint: "there is none")) {
            _ = try ask(kernel)
        }
    }
}
