import Testing

/// What the programs do when nobody can have what they print.
@Suite struct LostOutputTests {
    private static let commands = [
        ("vfioctl", "list --mock"), ("vfioctl", "list --mock --json"), ("vfioctl", "--help"),
        ("nvmectl", "info --mock 00:04.0"), ("nvmectl", "read --mock --block 0 --count 64 00:04.0"),
        ("nvmectl", "--help"), ("netctl", "info --mock 03:00.0"), ("netctl", "--help"), ("ExportBAR", ""),
        ("EduDriver", ""), ("PeerToPeer", ""), ("Type1Hazard", ""), ("ShareDMABuf", ""), ("Passthrough", ""),
        ("EduDriver", "--help"),
    ]

    @Test(arguments: commands) func aFullDiskIsAnError(_ name: String, _ arguments: String) throws {
        let result = try Program(name: name).run(shell: "\(arguments) >/dev/full")
        #expect(result.status == 1)
        #expect(result.errors == "\(name): the output could not be written: No space left on device\n")
    }

    /// The device that it opens must not become its standard output.
    @Test(arguments: commands) func aClosedOutputIsAnError(_ name: String, _ arguments: String) throws {
        let result = try Program(name: name).run(shell: "\(arguments) >&-")
        #expect(result.status == 1)
        #expect(result.errors == "\(name): the output could not be written: Bad file descriptor\n")
    }

    @Test(arguments: [("vfioctl", "list --mock"), ("nvmectl", "read --mock --block 0 --count 64 00:04.0")])
    func whoReadsNoMoreHearsNoComplaint(_ name: String, _ arguments: String) throws {
        let result = try Program(name: name).run(shell: "\(arguments) | head -1")
        #expect(result.status == 0)
        #expect(result.output.split(separator: "\n").count == 1)
        #expect(result.errors == "")
    }

    @Test(arguments: [("vfioctl", "nonsense"), ("nvmectl", "info"), ("netctl", "info"), ("EduDriver", "nonsense")])
    func whoPrintsNothingLosesNothing(_ name: String, _ arguments: String) throws {
        let result = try Program(name: name).run(shell: "\(arguments) >/dev/full")
        #expect(result.status == 64)
        #expect(!result.errors.contains("could not be written"))
    }
}
