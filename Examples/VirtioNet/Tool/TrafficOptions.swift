import ArgumentParser

/// Options for numbered frames. Each command has its own device argument and count.
struct TrafficOptions: ParsableArguments {
    @Flag(help: "Compute the UDP checksum for each frame.")
    var checksum = false

    @OptionGroup var burst: BurstOptions
    @OptionGroup var machine: MachineOptions
}
