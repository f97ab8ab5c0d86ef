import FoundationEssentials

/// Results for programs.
enum JSON {
    /// Prints a value, keys sorted, so that the same machine gives the same text.
    static func print(_ value: some Encodable) throws { Swift.print(try text(value)) }

    static func text(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }
}
