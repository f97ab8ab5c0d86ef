import Foundation
import Testing

/// What `vfioctl` does with open devices of the mock machine.
@Suite struct VFIOCtlDeviceTests {
    private let vfioctl = Program(name: "vfioctl")

    @Test func showsADevice() throws {
        let result = try vfioctl.succeed("info", "--mock", "00:04.0")
        let words = result.words
        for text in [
            "0000:00:04.0 through iommufd", "bar2 4M rw all of it", "config 4K rw no", "msix 65", "reset alone",
            "features dmaBuf, lowPower",
        ] { #expect(words.contains(text)) }
    }

    @Test func showsADeviceToPrograms() throws {
        let report = try vfioctl.run("info", "--mock", "--json", "00:04.0").json(as: [String: Any].self)
        let regions = try #require(report["regions"] as? [[String: Any]])
        #expect(regions.map { $0["name"] as? String } == ["bar0", "bar2", "config"])
        #expect(regions[1]["mappable"] as? [[Int]] == [[0, 4 << 20]])
        #expect((report["features"] as? [String: Bool])?["dmaBuf"] == true)
        #expect(report["canReset"] as? Bool == true)
    }

    @Test func decodesConfigSpace() throws {
        let result = try vfioctl.succeed("config", "--mock", "00:04.0")
        #expect(result.output.hasPrefix("1b36:0010  class 010802, revision 02, subsystem 1af4:1100\n"))
        #expect(
            result.output.contains("MSI-X: 65 vectors, off, table in BAR 0 at 0x2000, pending bits in BAR 0 at 0x3000"))
        #expect(result.output.contains("FLR"))
        #expect(try /BAR 2 at 0x[0-9a-f]+, 4M, 64-bit memory, prefetchable/.firstMatch(in: result.output) != nil)
        let virtual = try vfioctl.run("config", "--mock", "00:06.0")
        #expect(virtual.output.contains("single root I/O virtualization (SR-IOV): 0 of 4 virtual functions, off"))
    }

    @Test(arguments: ["TERM", "INT", "HUP"])
    func removesItsSocketAtASignal(signal: String) throws {
        let result = try Program(path: "/bin/sh").run(
            "-c",
            """
            folder=$(mktemp -d) && socket=$folder/window
            # A shell that is no terminal's ignores SIGINT in the background.
            env --default-signal=INT "$0" dmabuf export --mock 00:04.0 bar2 all --socket "$socket" & exporter=$!
            for i in $(seq 200); do [ -S "$socket" ] && break; sleep 0.05; done
            [ -S "$socket" ] || echo "no socket"
            kill -$1 $exporter; wait $exporter; echo "status $?"
            rmdir "$folder" && echo empty
            """, vfioctl.path, signal)
        let number = ["HUP": 1, "INT": 2, "TERM": 15][signal]!
        #expect(result.output == "status \(128 + number)\nempty\n")
    }

    /// As `nohup` has a program ignore SIGHUP.
    @Test(arguments: ["INT", "HUP"])
    func goesOnAtASignalThatItWasStartedToIgnore(signal: String) throws {
        let result = try Program(path: "/bin/sh").run(
            "-c",
            """
            folder=$(mktemp -d) && socket=$folder/window
            trap '' $1
            "$0" dmabuf export --mock 00:04.0 bar2 all --socket "$socket" & exporter=$!
            for i in $(seq 200); do [ -S "$socket" ] && break; sleep 0.05; done
            kill -$1 $exporter; sleep 0.5
            [ -S "$socket" ] && echo "goes on"
            kill -TERM $exporter; wait $exporter; echo "status $?"
            rmdir "$folder" && echo empty
            """, vfioctl.path, signal)
        #expect(result.output == "goes on\nstatus 143\nempty\n")
    }

    @Test func dumpsConfigSpace() throws {
        let result = try vfioctl.run("config", "--mock", "--hex", "00:02.0")
        let lines = result.output.split(separator: "\n")
        #expect(lines.count == 16)
        #expect(lines[0].hasPrefix("00: 34 12 e8 11 "))
        let express = try vfioctl.run("config", "--mock", "--hex", "00:04.0")
        #expect(express.output.split(separator: "\n").count == 256)
    }

    @Test func readsRegisters() throws {
        #expect(try vfioctl.run("read", "--mock", "00:02.0", "bar0", "0").output == "0x010000ed\n")
        #expect(try vfioctl.run("read", "--mock", "00:02.0", "config", "0", "--width", "16").output == "0x1234\n")
        let several = try vfioctl.run("read", "--mock", "00:04.0", "bar0", "0", "--width", "64", "--count", "2")
        #expect(several.output == "0x0: 0x024018200f0107ff\n0x8: 0x0000000000010400\n")
        let values = try vfioctl.run("read", "--mock", "--json", "00:02.0", "bar0", "0x0").json(
            as: [[String: String]].self)
        #expect(values == [["offset": "0x0", "value": "0x010000ed"]])
    }

    @Test func writesRegisters() throws {
        // edu's register 4 holds what was written, inverted.
        let plan = try vfioctl.run("write", "--mock", "-n", "--json", "00:02.0", "bar0", "4", "0x5", "--verify").json(
            as: [String: Any].self)
        #expect(plan.keys.sorted() == ["address", "done", "offset", "region", "width", "written"])
        #expect(plan["written"] as? String == "0x00000005")
        #expect(plan["done"] as? Bool == false)
        let result = try vfioctl.run("write", "--mock", "00:02.0", "bar0", "4", "0x5", "--verify")
        #expect(result.output == "0xfffffffa\n")
        let dry = try vfioctl.run("write", "--mock", "-n", "00:02.0", "bar0", "4", "5")
        #expect(dry.output == "would write 0x00000005 to BAR 0 of 0000:00:02.0 at 0x4, 32 bits\n")
        try vfioctl.expectFailure(
            "write", "--mock", "00:02.0", "bar0", "4", "0x100", "--width", "8", complaint: "0x100 has more than 8 bits")
    }

    @Test(
        arguments: [
            (["bar3", "0"], "the device has no such region"), (["bar0", "0x100000"], "it has 1048576 bytes"),
            (["bar0", "2"], "an offset for 32 bits is a multiple of 4"),
        ])
    func refusesOddPlaces(arguments: [String], hint: String) throws {
        try vfioctl.expectFailure(arguments: ["read", "--mock", "00:02.0"] + arguments, complaint: hint)
    }

    @Test func resets() throws {
        #expect(try vfioctl.run("reset", "--mock", "00:04.0").output == "0000:00:04.0: reset\n")
        try vfioctl.expectFailure(
            "reset", "--mock", "00:02.0", complaint: "it has no FLR, and nothing else resets it alone")
        #expect(
            try vfioctl.run("hot-reset", "--mock", "02:00.0").output == "0000:02:00.0, 0000:02:00.1: reset together\n")
        #expect(
            try vfioctl.run("hot-reset", "--mock", "-n", "02:00.1").output
                == "would reset 0000:02:00.0, 0000:02:00.1 together\n")
        try vfioctl.expectFailure("hot-reset", "--mock", "00:04.0", complaint: "VFIO_DEVICE_GET_PCI_HOT_RESET_INFO")
    }

    @Test func tellsProgramsWhatItDid() throws {
        func object(_ arguments: String...) throws -> [String: Any] {
            return try vfioctl.run(arguments: arguments).json(as: [String: Any].self)
        }
        let reset = try object("reset", "--mock", "--json", "00:04.0")
        #expect(reset["devices"] as? [String] == ["0000:00:04.0"])
        #expect(reset["done"] as? Bool == true)
        let hot = try object("hot-reset", "--mock", "--json", "-n", "02:00.0")
        #expect(hot["devices"] as? [String] == ["0000:02:00.0", "0000:02:00.1"])
        #expect(hot["done"] as? Bool == false)
        let write = try object("write", "--mock", "--json", "--verify", "00:02.0", "bar0", "4", "5")
        #expect(write["value"] as? String == "0xfffffffa")
        let token = try object("vf-token", "--mock", "--json", "00:06.0")
        #expect((token["token"] as? String).flatMap(UUID.init(uuidString:)) != nil)
    }

    @Test func saysWhoHoldsADevice() throws {
        let result = try vfioctl.run("info", "--mock", "00:05.0")
        #expect(result.status == 1)
        #expect(
            result.errors == "Error: cannot open the device for 0000:00:05.0: the driver nvme holds it; unbind it and "
                + "bind the device to vfio-pci\n")
        try vfioctl.expectFailure("info", "--mock", "01:00.1", complaint: "0000:01:00.0 is held by e1000e")
    }

    // MARK: dma-bufs

    @Test func handsADMABufToACommand() throws {
        let result = try vfioctl.run(
            "dmabuf", "export", "--mock", "00:04.0", "bar2", "0..64K", "--name", "window", "--", "sh", "-c",
            "echo fd $VFIOCTL_DMABUF_FD; test -e /proc/self/fd/$VFIOCTL_DMABUF_FD && exit 7")
        #expect(result.output == "fd 3\n")
        #expect(result.status == 7)
        try vfioctl.expectFailure(
            "dmabuf", "export", "--mock", "00:04.0", "bar2", "all", "--", "/nonexistent/command",
            complaint: "cannot run the command for /nonexistent/command")
    }

    @Test func wantsSomebodyToHandItTo() throws {
        try vfioctl.expectFailure(
            "dmabuf", "export", "--mock", "00:04.0", "bar2", "all", status: 64,
            complaint: "say who gets the dma-buf: either --socket PATH or -- COMMAND")
    }

    @Test func refusesOddRanges() throws {
        try vfioctl.expectFailure(
            "dmabuf", "export", "--mock", "00:04.0", "bar2", "0..100", "--", "true",
            complaint: "both ends of 0..<100 have to be multiples of 4096")
    }

    @Test func importsADMABuf() throws {
        for source in ["--fd=99", "--socket=/nonexistent"] {
            let refused = try vfioctl.run("dmabuf", "import", "--mock", "--for", "00:02.0", source)
            #expect(refused.status == 64)
            #expect(refused.errors.contains("with --mock the dma-buf is one of the mock's"))
        }
        let result = try vfioctl.succeed("dmabuf", "import", "--mock", "--for", "00:02.0")
        #expect(result.output == "0000:00:02.0 reaches 65536 bytes at 0x1000\n")
    }
}
