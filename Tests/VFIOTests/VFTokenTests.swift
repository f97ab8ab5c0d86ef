@Suite struct VFTokenTests {
    private let text = "bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3"

    @Test func isReadAndWrittenInTheOrderOfAUUID() throws {
        let token = try #require(VFToken(text))
        #expect(token.bytes.prefix(6) == [0xbd, 0x8d, 0x9d, 0x2b, 0x5a, 0x5f])
        #expect(token.bytes.last == 0xf3)
        #expect("\(token)" == text)
        #expect(VFToken(text.uppercased()) == token)
        #expect(VFToken(bytes: token.bytes) == token)
        #expect(VFToken(bytes: [UInt8](repeating: 1, count: 16))?.description == "01010101-0101-0101-0101-010101010101")
    }

    @Test(arguments: [
        "", "bd8d9d2b", "bd8d9d2b5a5f4f5aa211f591514ba1f3", "bd8d9d2b-5a5f-4f5a-a211-f591514ba1f",
        "gd8d9d2b-5a5f-4f5a-a211-f591514ba1f3",
        "bd8d9d2-b5a5f-4f5a-a211-f591514ba1f3", "bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3-",
        "éd8d9d2-5a5f-4f5a-a211-f591514ba1f3",
    ])
    func whatIsNoUUIDIsRefused(_ text: String) { #expect(VFToken(text) == nil) }

    @Test(arguments: [0, 15, 17]) func otherNumbersOfBytesAreRefused(_ count: Int) {
        #expect(VFToken(bytes: [UInt8](repeating: 0, count: count)) == nil)
    }
}
