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

    /// `auto`: on a terminal, unless the variable `NO_COLOR` is set (https://no-color.org).
    var style: Style {
        switch self {
        case .always: Style(hasColours: true)
        case .never: Style(hasColours: false)
        case .auto: Style(hasColours: unsafe getenv("NO_COLOR") == nil && isatty(STDOUT_FILENO) == 1)
        }
    }
}
