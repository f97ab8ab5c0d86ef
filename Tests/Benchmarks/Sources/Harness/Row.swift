/// An operation that is measured twice: with the library, and in C.
public struct Row {
    /// A short name for tables and the command line.
    public let name: String
    /// What one operation is, in words.
    public let summary: String
    /// Whether its instructions are counted: those of system calls and of one thread, not of waiting.
    public let isCounted: Bool
    let library: (Int) -> Void
    let baseline: (Int) -> Void

    /// - Parameters:
    ///   - library: Makes as many operations as it is told, with the library.
    ///   - baseline: The same in C.
    public init(
        _ name: String, _ summary: String, isCounted: Bool = true, library: @escaping (Int) -> Void,
        baseline: @escaping (Int) -> Void
    ) {
        self.name = name
        self.summary = summary
        self.isCounted = isCounted
        self.library = library
        self.baseline = baseline
    }

    /// Measures the row for some nanoseconds, and prints what each batch took.
    public func measure(total: UInt64) {
        print("row\t\(name)\t\(summary)")
        Timing(total: total).measure(self)
    }
}
