import Testing

@Suite struct NetCtlTests {
    private let netctl = Program(name: "netctl")

    /// The output with rates and times, which differ from run to run, left out.
    private func lines(_ arguments: [String]) throws -> [String] {
        let result = try netctl.succeed(arguments: arguments)
        return result.output.split(separator: "\n").map { line in
            String(line).replacing(/in [0-9.e-]+ seconds/, with: "in T").replacing(/: [0-9.]+ M?frames\/s/, with: ": R")
        }
    }

    @Test func identifies() throws {
        #expect(
            try lines(["info", "--mock", "0000:03:00.0"]) == [
                "device      0000:03:00.0", "structure   common configuration structure, 4096 bytes at 0x0 of BAR 4",
                "structure   interrupt status structure, 4096 bytes at 0x1000 of BAR 4",
                "structure   device configuration structure, 4096 bytes at 0x2000 of BAR 4",
                "structure   notification structure, 4096 bytes at 0x3000 of BAR 4",
                "features    [MAC, STATUS, VERSION_1, ACCESS_PLATFORM]", "address     52:54:00:00:00:07",
                "queues      256 to receive, 256 to transmit",
            ])
    }

    @Test(arguments: [[], ["--checksum"], ["--batch", "1"]])
    func loops(_ options: [String]) throws {
        #expect(
            try lines(["loop", "--mock", "--count", "300", "0000:04:00.0"] + options)
                == ["300 frames sent, 300 returned in order, 0 others: R"])
    }

    @Test func generates() throws {
        let lines = try lines(["generate", "--mock", "--count", "300", "0000:03:00.0"])
        #expect(lines.count == 1)
        #expect(lines.first?.hasPrefix("300 frames sent in T: R; ") == true)
    }

    @Test(arguments: [[], ["--interrupts"]])
    func forwards(_ options: [String]) throws {
        let lines = try lines(
            ["forward", "--mock", "--inject", "16", "--count", "1000", "0000:03:00.0", "0000:04:00.0"] + options)
        // All frames are at the same place: each burst is one of 16, and a call forwards two.
        #expect(
            lines == [
                "0000:03:00.0 to 0000:04:00.0: 512 received, 512 sent, 0 dropped",
                "0000:04:00.0 to 0000:03:00.0: 512 received, 512 sent, 0 dropped", "1024 frames forwarded in T: R",
                "16 frames were put in, and all of them taken out: what was done to them adds up",
            ])
    }

    /// `nvmectl` has it as well: where it finds a disk, there is one for `netctl`, too.
    @Test func sharesItsMachineWithNVMeCtl() throws {
        let result = try netctl.run("info", "--mock", "0000:00:04.0")
        #expect(result.status == 1)
        #expect(result.errors == "Error: the device is 1b36:0010, and no virtio network device (1af4:1041)\n")
    }

    @Test func saysWhatIsWrongWithTheArguments() throws {
        for (arguments, complaint) in [
            (["info", "--mock", "three"], "'three' is no PCI address; one looks like 0000:00:04.0"),
            (["loop", "--mock", "--batch", "0", "0000:03:00.0"], "a batch has 1 to 4096 frames"),
            (["forward", "--mock", "--inject", "129", "0000:03:00.0", "0000:04:00.0"], "0 to 128 frames are put in"),
            (["forward", "--mock", "--count", "0", "0000:03:00.0", "0000:04:00.0"], "at least 1 frame is forwarded"),
            (["forward", "--mock", "0000:03:00.0", "0000:03:00.0"], "the two devices have to be different ones"),
            (["loop", "--mock", "--count", "0", "0000:03:00.0"], "at least 1 frame is sent"),
            (["generate", "--mock", "--count=-1", "0000:03:00.0"], "at least 1 frame is sent"),
        ] {
            try netctl.expectFailure(arguments: arguments, status: 64, complaint: complaint)
        }
    }
}
