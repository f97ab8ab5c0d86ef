import ExampleSupport

/// The failure of a command.
typealias Failure = Example.Failure
