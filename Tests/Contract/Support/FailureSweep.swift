extension Bench {
    /// What ends together with an address space, after the last of its users: nobody is left to be told.
    private static let silentEnds = ["close /dev/vfio/vfio", "close /dev/iommu", "IOMMU_DESTROY of an address space"]

    /// Runs something again and again, and lets another system call fail each time: the first, the second, and so on to
    /// the last. Each time an error has to come out, and nothing may be left open or mapped.
    ///
    /// - Parameters:
    ///   - harmless: The calls, by the beginnings of their names, whose failure the library makes up for. Those that end an
    ///     address space, which has no `close()`, are among them always.
    ///   - body: What is run, with a kernel that fails. It closes all that it opens.
    func failEachCall(
        harmless: [String] = [], sourceLocation: SourceLocation = #_sourceLocation, _ body: (any Kernel) throws -> Void
    ) throws {
        let ledger = self.ledger
        let before = ledger.openDescriptors
        // No run comes near this many calls; a run that never ends is a failure too.
        for number in 0..<1000 {
            let failing = FailingKernel(kernel, failing: number)
            var caught: (any Error)?
            do { try body(failing) } catch { caught = error }
            let outcome = caught.map { "\($0)" } ?? "no error"
            guard let failed = failing.failed else {
                if caught != nil || number < 3 {
                    Issue.record(
                        "\(number) calls, none of which failed, and \(outcome)", sourceLocation: sourceLocation)
                }
                return
            }
            let errno = (caught as? VFIOError)?.errno ?? (caught as? Errno)
            let isMadeUpFor = caught == nil && (Self.silentEnds + harmless).contains { failed.hasPrefix($0) }
            if errno != FailingKernel.errno, !isMadeUpFor {
                Issue.record(
                    "call \(number), \(failed), failed, and \(outcome) came out", sourceLocation: sourceLocation)
            }
            if try !eventually({ ledger.openDescriptors == before && !ledger.hasMemory }) {
                Issue.record(
                    "call \(number), \(failed), failed: left are \(ledger.openDescriptors), memory: \(ledger.hasMemory)",
                    sourceLocation: sourceLocation)
                return
            }
        }
        Issue.record("the calls have no end", sourceLocation: sourceLocation)
    }
}
