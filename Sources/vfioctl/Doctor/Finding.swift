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
    /// A command to go on with, which can be typed as it stands.
    let remedy: String?
    /// A sentence: what to do besides the command, or where no command can do it.
    let advice: String?

    init(_ verdict: Verdict, _ check: String, _ text: String, remedy: String? = nil, advice: String? = nil) {
        self.check = check
        self.verdict = verdict
        self.text = text
        self.remedy = remedy
        self.advice = advice
    }

    static func fine(_ check: String, _ text: String) -> Finding { Finding(.fine, check, text) }

    static func warning(_ check: String, _ text: String, remedy: String? = nil, advice: String? = nil) -> Finding {
        Finding(.warning, check, text, remedy: remedy, advice: advice)
    }

    static func problem(_ check: String, _ text: String, remedy: String? = nil, advice: String? = nil) -> Finding {
        Finding(.problem, check, text, remedy: remedy, advice: advice)
    }

    /// The one thing to do next.
    var next: String { remedy ?? advice ?? text }

    func lines(_ style: Style) -> [String] {
        let mark =
            switch verdict {
            case .fine: style.paint("ok     ", .green)
            case .warning: style.paint("warning", .yellow)
            case .problem: style.paint("PROBLEM", .red)
            }
        var lines = ["\(mark)  \(style.paint(check, .bold)): \(text)"]
        if let remedy { lines.append("         → \(remedy)") }
        if let advice { lines.append("           \(advice)") }
        return lines
    }
}
