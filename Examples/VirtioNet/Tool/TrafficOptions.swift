import ArgumentParser

/// How numbered frames are made, sent and received. Each command has the device before it, and a count of its own.
struct TrafficOptions: ParsableArguments {
    @Flag(help: "Compute UDP's checksum for each frame.")
    var checksum = false

    @OptionGroup var burst: BurstOptions
    @OptionGroup var machine: MachineOptions
}
