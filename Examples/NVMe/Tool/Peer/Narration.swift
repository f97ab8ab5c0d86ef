/// Prints paragraphs.
enum Narration {
    private static let lineWidth = 100

    /// Prints a paragraph, wrapped to the width of a terminal.
    static func say(_ sentences: String...) {
        var line = "•"
        for word in sentences.joined(separator: " ").split(separator: " ") {
            if line.count + 1 + word.count > lineWidth {
                print(line)
                line = " "
            }
            line += " " + word
        }
        print(line)
    }
}
