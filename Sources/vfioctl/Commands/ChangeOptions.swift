import ArgumentParser
import VFIO

/// Options of the commands that change the machine.
struct ChangeOptions: ParsableArguments {
    @Flag(
        name: [.customShort("n"), .long], help: "Print what would be done (for drivers as shell commands) only."
    ) var dryRun = false
}

/// The outcome for one device: a line of text, or a JSON object.
struct ChangeReport: Encodable {
    let address: String
    let before: String?
    let after: String?
    let done: Bool
    let commands: [String]
    let note: String?

    /// Creates the report of a change that was performed or, in a dry run, planned.
    init(_ change: DriverChange, after: String?, done: Bool, note: String? = nil) {
        address = "\(change.address)"
        before = change.previousDriver
        self.after = after
        self.done = done
        commands = change.steps.map { "\($0)" }
        self.note = note
    }

    /// Creates the report of two consecutive changes.
    init(_ first: ChangeReport, then second: ChangeReport) {
        address = first.address
        before = first.before
        after = second.after
        done = second.done
        commands = first.commands + second.commands
        note = second.note ?? first.note
    }

    func print(_ style: Style) {
        // A dry run prints what a shell takes: what is no command is a comment.
        let mark = done ? "" : "# "
        if commands.isEmpty {
            Swift.print("\(mark)\(address): nothing to do, \(after.map { "\($0) holds it" } ?? "no driver holds it")")
        } else if done {
            Swift.print("\(address): \(before ?? "no driver") → \(style.paint(after ?? "no driver", .green))")
        } else {
            for command in commands { Swift.print(command) }
        }
        if let note { Swift.print("\(done ? "  " : mark)\(style.paint(note, .yellow))") }
    }
}
