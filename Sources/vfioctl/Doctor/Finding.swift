/// One thing that was looked at, what was found, and what to do about it.
struct Finding: Encodable {
    enum Verdict: String, Encodable {
        /// As it should be.
        case fine
        /// Works, but not all of it, or not for everybody.
        case warning
        /// Keeps the device from being opened.
        case problem
    }

    /// What was looked at, in a word or two.
    let check: String
    let verdict: Verdict
    /// What was found.
    let text: String
    /// A command that mends it, as it can be typed; or, where no command can, a sentence.
    let remedy: String?

    static func fine(_ check: String, _ text: String) -> Finding {
        Finding(check: check, verdict: .fine, text: text, remedy: nil)
    }

    static func warning(_ check: String, _ text: String, remedy: String?) -> Finding {
        Finding(check: check, verdict: .warning, text: text, remedy: remedy)
    }

    static func problem(_ check: String, _ text: String, remedy: String?) -> Finding {
        Finding(check: check, verdict: .problem, text: text, remedy: remedy)
    }

    func lines(_ style: Style) -> [String] {
        let mark =
            switch verdict {
            case .fine: style.paint("ok     ", .green)
            case .warning: style.paint("warning", .yellow)
            case .problem: style.paint("PROBLEM", .red)
            }
        var lines = ["\(mark)  \(style.paint(check, .bold)): \(text)"]
        if let remedy { lines.append("         → \(remedy)") }
        return lines
    }
}
