/// Something that is measured one by one, each side telling how many nanoseconds it took: where a loop would measure too much.
///
/// What depends on another thread varies by its nature, so here the medians of both sides are compared.
public struct Event {
    let name: String
    let summary: String
    let library: () async throws -> UInt64
    let baseline: () throws -> UInt64

    /// - Parameters:
    ///   - library: Does it once with the library, and gives the nanoseconds.
    ///   - baseline: The same in C.
    public init(
        _ name: String, _ summary: String, library: @escaping () async throws -> UInt64,
        baseline: @escaping () throws -> UInt64
    ) {
        self.name = name
        self.summary = summary
        self.library = library
        self.baseline = baseline
    }

    /// Does it in turn with both sides, and prints what each took.
    public func measure(rounds: Int) async throws {
        print("row\t\(name)\t\(summary)\tmedian")
        // To get warm.
        _ = try await library()
        _ = try baseline()
        for round in 0..<rounds {
            var ours: UInt64 = 0
            var theirs: UInt64 = 0
            if round.isMultiple(of: 2) {
                ours = try await library()
                theirs = try baseline()
            } else {
                theirs = try baseline()
                ours = try await library()
            }
            print("time\t\(name)\t1\t\(ours)\t\(theirs)")
        }
    }
}
