import Glibc

@Suite struct PCIAddressTests {
    @Test(arguments: [
        "0000:00:00.0", "0000:00:04.0", "0000:ff:1f.7", "abcd:12:0a.3", "10000:e1:00.0", "ffffffff:00:00.1",
    ]) func theKernelsFormComesBackAsItWas(_ text: String) throws {
        #expect(try #require(PCIAddress(text)).description == text)
    }

    @Test(arguments: [
        ("04:00.0", "0000:04:00.0"), ("00000000:00:04.0", "0000:00:04.0"), ("00010000:00:04.0", "10000:00:04.0"),
        ("ABCD:EF:1F.7", "abcd:ef:1f.7"),
    ]) func otherFormsAreReadAndPrintedAsTheKernels(_ text: String, _ printed: String) throws {
        #expect(try #require(PCIAddress(text)).description == printed)
    }

    @Test(arguments: [
        "", ".", ":", "::.", "0000:00:04", "0000:00:04.", "0000:00:04.8", "0000:00:20.0", "0000:00:04.0 ",
        " 0000:00:04.0", "0000:00:04.0\n", "0000:00:04.00", "0000:0:04.0", "0000:00:4.0", "000:00:04.0",
        "000000000:00:04.0", "0000:00:04.0.0", "0000:0000:00:04.0", "0000::04.0", "0000:00:.0", ":00:04.0",
        "+000:00:04.0", "0000:+0:04.0", "0000:-1:04.0", "0000:00:04.+0", "0x00:00:04.0", "0000:0g:04.0",
        "00000:100:04.0", "0000:00:04,0", "0000.00.04.0", "٠٠٠٠:٠٠:٠٤.٠", "００００:00:04.0", "0000:00:0４.0",
        "0000:00:04.0\u{301}", "0000:00:04.0\u{0}", "../../etc",
    ]) func whatIsNoAddressIsNil(_ text: String) { #expect(PCIAddress(text) == nil) }

    @Test func partsHaveTheirLimits() throws {
        let highest = try #require(PCIAddress(domain: .max, bus: .max, device: 31, function: 7))
        #expect(highest.description == "ffffffff:ff:1f.7")
        #expect(PCIAddress(bus: 0, device: 32, function: 0) == nil)
        #expect(PCIAddress(bus: 0, device: 0, function: 8) == nil)
        #expect(try #require(PCIAddress(bus: 1, device: 2, function: 3)).domain == 0)
    }

    @Test func everyDeviceAndFunctionComesBack() throws {
        for device in UInt8(0)..<32 {
            for function in UInt8(0)..<8 {
                let address = try #require(PCIAddress(domain: 1, bus: 0x80, device: device, function: function))
                #expect(PCIAddress(address.description) == address)
            }
        }
    }

    @Test func theOrderIsThatOfTheParts() {
        let sorted: [PCIAddress] = [
            "0000:00:00.0", "0000:00:00.1", "0000:00:01.0", "0000:00:1f.7", "0000:01:00.0", "0000:ff:00.0",
            "0001:00:00.0", "ffff:00:00.0", "10000:00:00.0",
        ]
        #expect(sorted.reversed().sorted() == sorted)
        for (left, right) in zip(sorted, sorted.dropFirst()) {
            #expect(left < right)
            #expect(!(right < left))
            #expect(!(left < left))
        }
    }

    @Test func equalAddressesHashAlike() {
        let addresses: Set<PCIAddress> = ["0000:00:04.0", "00:04.0", "00000000:00:04.0", "0000:00:04.1"]
        #expect(addresses.count == 2)
    }

    @Test func aMalformedLiteralStopsTheProgram() async {
        await #expect(processExitsWith: .signal(SIGILL)) { _ = "nonsense" as PCIAddress }
    }
}
