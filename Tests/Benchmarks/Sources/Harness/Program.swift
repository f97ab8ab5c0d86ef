internal import CBaseline
internal import Glibc

/// The command line of a benchmark program.
///
/// `PROGRAM time [ROW …]` measures, `PROGRAM count [ROW …]` runs each row for callgrind, `PROGRAM list` names the rows.
public enum Program {
    /// Runs the rows that the command line names, or all.
    public static func run(_ rows: [Row]) {
        bench_print_lines()
        let arguments = CommandLine.arguments.dropFirst()
        let wanted = Set(arguments.dropFirst())
        let chosen = rows.filter { wanted.isEmpty || wanted.contains($0.name) }
        switch arguments.first {
        case "time":
            for row in chosen {
                print("row\t\(row.name)\t\(row.summary)")
                Timing().measure(row)
            }
        case "count":
            for row in chosen where row.isCounted { count(row) }
        case "list":
            for row in rows { print("row\t\(row.name)\t\(row.summary)") }
        default:
            print("usage: PROGRAM time|count|list [ROW ...]")
            exit(64)
        }
    }

    /// Runs both sides three times: to get warm, N operations, and 2 N, with a mark after each. What the second does more
    /// than the first is N operations, and nothing else.
    private static func count(_ row: Row) {
        let count = 1000
        for (side, body) in [("library", row.library), ("baseline", row.baseline)] {
            for times in [count, count, 2 * count] {
                bench_mark()
                body(times)
                bench_mark()
                // Printed between the marks, which callgrind leaves out.
                print("count\t\(row.name)\t\(side)\t\(times)")
            }
        }
    }
}
