@Suite struct DeviceUUIDTests {
    @Test func textAndBytesAgree() throws {
        let text = "BD8D9D2B-5a5f-4f5a-a211-f591514ba1f3"
        let uuid = try #require(DeviceUUID(text))
        #expect("\(uuid)" == "bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3")
        #expect(uuid.bytes.prefix(4) == [0xbd, 0x8d, 0x9d, 0x2b])
        #expect(uuid.bytes.last == 0xf3)
        #expect(DeviceUUID(bytes: uuid.bytes) == uuid)
        #expect(DeviceUUID(bytes: uuid.bytes.dropLast()) == nil)
    }

    @Test(arguments: [
        "", "bd8d9d2b5a5f4f5aa211f591514ba1f3", "bd8d9d2b-5a5f-4f5a-a211-f591514ba1f",
        "bd8d9d2b-5a5f-4f5a-a211-f591514ba1f33",
        "bd8d9d2b-5a5f-4f5a-a211-f591514ba1g3", "bd8d9d2-b5a5f-4f5a-a211-f591514ba1f3",
        "+d8d9d2b-5a5f-4f5a-a211-f591514ba1f3",
        "bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3\n",
    ]) func whatIsNoUUID(_ text: String) { #expect(DeviceUUID(text) == nil) }

    @Test(arguments: [("0000:00:04.0", true), ("bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3", false)])
    func aDeviceIsNamedByEither(_ text: String, _ isPCI: Bool) throws {
        let address = try #require(DeviceAddress(text))
        #expect((address.pci != nil) == isPCI)
        #expect("\(address)" == text)
    }

    @Test(arguments: ["", "mtty", "0000:00:04"]) func whatIsNeither(_ text: String) {
        #expect(DeviceAddress(text) == nil)
    }
}
