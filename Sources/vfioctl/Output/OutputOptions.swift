import ArgumentParser

/// The output format of a command.
struct OutputOptions: ParsableArguments {
    @Flag(help: "Print JSON, as described in docs/vfioctl-json.md.")
    var json = false

    @Option(help: "Colours: auto (on a terminal), always, never.")
    var color = ColourChoice.auto

    var style: Style { color.style }
}
