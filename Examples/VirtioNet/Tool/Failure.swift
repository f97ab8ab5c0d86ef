import ExampleSupport

/// What a command found to be wrong.
typealias Failure = Example.Failure
