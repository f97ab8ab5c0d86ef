/// Looks at the process when it begins and when it ends, and expects the same.
final class ProcessWatch: Sendable {
    private let before = ProcessView.now()
    let sourceLocation: SourceLocation

    init(_ sourceLocation: SourceLocation) { self.sourceLocation = sourceLocation }

    deinit {
        let isSame = try? eventually { ProcessView.now() == before }
        #expect(isSame == true, "open now: \(ProcessView.now())", sourceLocation: sourceLocation)
    }
}
