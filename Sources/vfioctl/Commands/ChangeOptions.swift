import ArgumentParser
import VFIO

/// How a command that changes something goes about it.
struct ChangeOptions: ParsableArguments {
    @Flag(
        name: [.customShort("n"), .long], help: "Say what would be done, for drivers as shell commands, and do nothing."
    ) var dryRun = false
}

/// What became of a device: a line for people, an object for programs.
struct ChangeReport: Encodable {
    let address: String
    let before: String?
    let after: String?
    let done: Bool
    let commands: [String]
    let note: String?

    /// The report of a change that was carried out, or of one that was only planned.
    init(_ change: DriverChange, after: String?, done: Bool, note: String? = nil) {
        address = "\(change.address)"
        before = change.previousDriver
        self.after = after
        self.done = done
        commands = change.steps.map { "\($0)" }
        self.note = note
    }

    /// The report of two changes, one after the other.
    init(_ first: ChangeReport, then second: ChangeReport) {
        address = first.address
        before = first.before
        after = second.after
        done = second.done
        commands = first.commands + second.commands
        note = second.note ?? first.note
    }

    func print(_ style: Style) {
        if commands.isEmpty {
            Swift.print("\(address): nothing to do, \(after.map { "\($0) holds it" } ?? "no driver holds it")")
        } else if done {
            Swift.print("\(address): \(before ?? "no driver") → \(style.paint(after ?? "no driver", .green))")
        } else {
            for command in commands { Swift.print(command) }
        }
        if let note { Swift.print("  \(style.paint(note, .yellow))") }
    }
}
