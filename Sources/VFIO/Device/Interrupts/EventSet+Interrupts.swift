extension EventSet {
    /// Adds an interrupt. When it is closed, it stays in the set and is not reported any more.
    ///
    /// - Throws: `.busy` if the set has the name or the interrupt already, `.limit`.
    public func add(_ vector: borrowing InterruptVector, as name: Name) throws(VFIOError) {
        try core.add(vector.line.event, of: vector.line, as: name)
    }

    /// Adds one of several interrupts. When they are closed, it stays in the set and is not reported any more.
    ///
    /// - Throws: `.notFound` for a vector that is not one of these, `.busy` if the set has the name or the interrupt
    ///   already, `.limit`.
    public func add(_ vector: Int, of vectors: borrowing InterruptVectors, as name: Name) throws(VFIOError) {
        let line = try vectors.line(vector, "add vector \(vector) to a set of events")
        try core.add(line.event, of: line, as: name)
    }
}
