import ArgumentParser

/// The output format of a command.
struct OutputOptions: ParsableArguments {
    @Flag(help: "Print JSON, in the form that docs/vfioctl-json.md describes.")
    var json = false

    @Option(help: "Colours: auto (on a terminal), always, never.")
    var color = ColourChoice.auto

    var style: Style { color.style }
}
