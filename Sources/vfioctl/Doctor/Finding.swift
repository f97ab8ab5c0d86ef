/// The result of one check, with a remedy.
struct Finding: Encodable {
    enum Verdict: String, Encodable {
        /// The check passed.
        case fine = "ok"
        /// It works partially, or not for every user.
        case warning
        /// It prevents the device from being opened.
        case problem
    }

    /// The subject of the check, in one or two words.
    let check: String
    let verdict: Verdict
    /// The result.
    let text: String
    /// A command that fixes the problem, ready to be typed.
    let remedy: String?
    /// Advice in addition to the command, or when no command can fix the problem.
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

    /// The next step.
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
