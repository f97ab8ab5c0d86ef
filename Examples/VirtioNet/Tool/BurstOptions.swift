import ArgumentParser

/// Options for sending and receiving frames.
struct BurstOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The maximum number of frames in a burst.", valueName: "n"))
    var batch = 32

    func validate() throws {
        guard (1...4096).contains(batch) else { throw ValidationError("a batch has 1 to 4096 frames") }
    }
}
