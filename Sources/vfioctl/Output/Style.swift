import ArgumentParser
import Glibc

struct Style {
    let hasColours: Bool

    enum Colour: Int {
        case red = 31
        case green = 32
        case yellow = 33
        case cyan = 36
        case bold = 1
        case dim = 2
    }

    func paint(_ text: String, _ colour: Colour) -> String {
        hasColours ? "\u{1b}[\(colour.rawValue)m\(text)\u{1b}[0m" : text
    }
}

/// When output is coloured.
enum ColourChoice: String, ExpressibleByArgument, CaseIterable {
    case auto, always, never

    /// `auto`: on a terminal that is not `dumb`, unless the variable `NO_COLOR` is set (https://no-color.org).
    var style: Style {
        switch self {
        case .always: return Style(hasColours: true)
        case .never: return Style(hasColours: false)
        case .auto:
            let isDumb = unsafe getenv("TERM").map { unsafe String(cString: $0) == "dumb" } ?? false
            return Style(hasColours: unsafe getenv("NO_COLOR") == nil && !isDumb && isatty(STDOUT_FILENO) == 1)
        }
    }
}
