import ArgumentParser

/// The output format of a command.
struct OutputOptions: ParsableArguments {
    // ArgumentParser breaks no word, so none is longer than what 40 columns leave: 14 characters.
    @Flag(help: "Print JSON, as the documentation describes it.")
    var json = false

    @Option(help: "Colours: auto (on a terminal), always, never.")
    var color = ColourChoice.auto

    var style: Style { color.style }
}
