import Foundation
import Testing

/// A program of this package, as it was built beside the tests.
struct Program {
    private let url: URL

    /// One of this package.
    init(name: String) { url = Self.buildFolder.appendingPathComponent(name) }

    /// Any other.
    init(path: String) { url = URL(fileURLWithPath: path) }

    var path: String { url.path }

    struct Result {
        let status: Int32
        let output: String
        let errors: String
        /// The output without the places where it happened to be wrapped.
        var words: String { output.split(whereSeparator: \.isWhitespace).joined(separator: " ") }

        /// The output as JSON.
        func json<Value>(as type: Value.Type) throws -> Value {
            try #require(try JSONSerialization.jsonObject(with: Data(output.utf8)) as? Value)
        }
    }

    func run(_ arguments: String...) throws -> Result { try run(arguments: arguments) }

    func run(arguments: [String]) throws -> Result {
        let process = Process()
        process.executableURL = url
        process.arguments = arguments
        let (output, errors) = (Pipe(), Pipe())
        process.standardOutput = output
        process.standardError = errors
        try process.run()
        // These programs print less than a pipe holds, so one can be read after the other.
        let text = output.fileHandleForReading.readDataToEndOfFile()
        let complaint = errors.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return Result(
            status: process.terminationStatus, output: String(decoding: text, as: UTF8.self),
            errors: String(decoding: complaint, as: UTF8.self))
    }

    /// Runs it, and expects that it does what it was asked to, without a complaint.
    func succeed(_ arguments: String...) throws -> Result { try succeed(arguments: arguments) }

    func succeed(arguments: [String]) throws -> Result {
        let result = try run(arguments: arguments)
        #expect(result.status == 0 && result.errors == "", "\(arguments): \(result.errors)")
        return result
    }

    /// Runs it, and expects that it does not do what it was asked to, and says why on standard error.
    func expectFailure(_ arguments: String..., status: Int32 = 1, complaint: String) throws {
        try expectFailure(arguments: arguments, status: status, complaint: complaint)
    }

    func expectFailure(arguments: [String], status: Int32 = 1, complaint: String) throws {
        let result = try run(arguments: arguments)
        #expect(result.status == status, "\(arguments)")
        #expect(result.errors.contains(complaint), "\(arguments): \(result.errors)")
    }

    /// Runs it by a shell, for what only a shell does with standard output.
    ///
    /// - Parameter words: What follows the program's path, in the shell's language.
    func run(shell words: String) throws -> Result {
        try Program(path: "/bin/sh").run(arguments: ["-c", "'\(url.path)' \(words)"])
    }

    /// The build folder, which the test bundle lies in.
    static var buildFolder: URL {
        URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath().deletingLastPathComponent()
    }
}
