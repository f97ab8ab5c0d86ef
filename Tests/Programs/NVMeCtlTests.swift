import Testing

@Suite struct NVMeCtlTests {
    private let nvmectl = Program(name: "nvmectl")

    @Test func identifies() throws {
        let result = try nvmectl.succeed("info", "--mock", "0000:00:04.0")
        #expect(result.output.contains("namespace 1: 131072 blocks of 512 bytes, 64 MiB\n"))
    }

    @Test func readsInHexadecimal() throws {
        let disk = try nvmectl.succeed("read", "--mock", "--block", "3", "0000:00:04.0")
        let lines = disk.output.split(separator: "\n")
        #expect(lines.count == 32)
        #expect(lines.first == "00000600  00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  ................")
    }

    @Test func writesAndFlushes() throws {
        let result = try nvmectl.succeed("write", "--mock", "--text", "hello", "--block", "7", "0000:00:04.0")
        #expect(result.output == "wrote 1 blocks from 7 on, and flushed\n")
        #expect(try nvmectl.run("flush", "--mock", "0000:00:04.0").output == "flushed namespace 1\n")
    }

    @Test(arguments: [["--interrupts"], []])
    func measures(_ options: [String]) throws {
        let result = try nvmectl.succeed(
            arguments: ["bench", "--mock", "--size", "512", "--depth", "4", "--count", "100", "0000:00:04.0"] + options)
        let mode = options.isEmpty ? "poll" : "interrupts"
        #expect(result.output.hasPrefix("bench: size=512 depth=4 mode=\(mode) reads=100 seconds="))
        #expect(result.output.hasSuffix(" failed=0\n"))
    }

    @Test(arguments: [
        ("0000:00:03.0", "0000:00:03.0 cannot be reset, so its memory decode goes off, and on again:"),
        ("0000:01:00.0", "0000:01:00.0 is reset, with all of its bus:"),
    ]) func readsIntoAPeer(_ peer: String, _ reset: String) throws {
        let result = try nvmectl.succeed("peer", "--mock", "--into", peer, "--block", "64", "0000:00:04.0")
        for sentence in [
            "nvmectl peer, on a mock kernel: from 0000:00:04.0 into \(peer)",
            "Write. A pattern of 256 KiB goes to block 64 and following of 0000:00:04.0, and is flushed.",
            "0000:00:04.0 put the pattern straight into the memory of \(peer); the CPU finds all 262144 bytes there",
            "Reset. \(reset) the kernel has revoked the memory, the mapping is revoked.",
            "Try. The same read now fails, and nothing arrives: the read of 512 blocks from 64 on failed: the memory of "
                + "the other device was revoked",
            "Go on. Disk and driver are well: a read into our own memory finds the pattern.",
            "Restore. Mapped again at the same place; the mapping is live", "Done: all of it happened as told.",
        ] { #expect(result.words.contains(sentence), "\(sentence)") }
    }

    @Test func saysWhatIsWrongWithTheArguments() throws {
        for (arguments, complaint) in [
            (["read", "--mock", "four"], "'four' is no PCI address; one looks like 0000:00:04.0"),
            (["read", "--mock", "--block", "131072", "0000:00:04.0"], "the namespace has the blocks 0 to 131071"),
            (["write", "--mock", "--count", "0", "--block", "7", "0000:00:04.0"], "--count is at least 1"),
            (["write", "--mock", "0000:00:04.0"], "Missing expected argument '--block <block>'"),
            (["bench", "--mock", "--size", "100", "0000:00:04.0"], "--size has to be a multiple of 512"),
            (["bench", "--mock", "--depth", "0", "0000:00:04.0"], "are greater than 0"),
            (["bench", "--mock", "--seconds", "inf", "0000:00:04.0"], "--seconds is at most 86400"),
            (["bench", "--mock", "--seconds", "nan", "0000:00:04.0"], "are greater than 0"),
            (["bench", "--mock", "--seconds", "1e30", "0000:00:04.0"], "--seconds is at most 86400"),
            (["bench", "--mock", "--size", "1048576", "0000:00:04.0"], "--size is at most 524288"),
            (
                ["peer", "--mock", "--into", "0000:00:04.0", "--block", "64", "0000:00:04.0"],
                "--into has to be another device"
            ),
            (
                ["peer", "--mock", "--into", "0000:00:03.0", "0000:00:04.0"],
                "Missing expected argument '--block <block>'"
            ),
        ] {
            try nvmectl.expectFailure(arguments: arguments, status: 64, complaint: complaint)
        }
    }

    @Test func saysWhatIsWrongWithTheDevice() throws {
        let result = try nvmectl.run("info", "--mock", "0000:00:03.0")
        #expect(result.status == 1)
        #expect(
            result.errors == """
                Error: the controller does not do: the NVMe class code, 0x10802: 0000:00:03.0 has 0x50000, so it is no NVMe \
                controller

                """)
    }
}
