internal import CVFIO

/// A chain of `vfio_info_cap_header` behind a structure that the kernel filled.
enum CapabilityChain {
    /// Visits each capability in the chain's order.
    ///
    /// The offsets are the kernel's, and a broken chain (past the end, into the header, in a circle) is an error rather
    /// than a trap or an endless loop.
    ///
    /// - Parameters:
    ///   - start: `cap_offset`, in bytes from the start of the buffer; 0 is an empty chain.
    ///   - headerSize: The size of the structure in front, which no capability may overlap.
    ///   - visit: Gets the capability's id and its offset in the buffer.
    static func walk(
        _ buffer: borrowing RequestBuffer,
        from start: UInt32,
        headerSize: Int,
        subject: @autoclosure () -> String,
        _ visit: (_ id: UInt16, _ offset: Int) throws(VFIOError) -> Void
    ) throws(VFIOError) {
        let operation = "read the capability chain"
        var offset = Int(start)
        while offset != 0 {
            guard offset >= headerSize, let header = buffer.load(cvfio_info_cap_header.self, at: offset) else {
                throw VFIOError(
                    .unexpectedAnswer, operation, subject(),
                    hint: "a capability at offset \(offset) is outside of the \(buffer.byteCount) bytes of the answer")
            }
            try visit(header.id, offset)
            // The kernel adds each capability behind the last, so a pointer back can only close a circle.
            guard header.next == 0 || Int(header.next) < headerSize || Int(header.next) > offset else {
                throw VFIOError(.unexpectedAnswer, operation, subject(), hint: "the chain goes in a circle")
            }
            offset = Int(header.next)
        }
    }

    /// What a capability that is cut short by the end of the answer is reported as.
    static func truncated(_ name: String, subject: String) -> VFIOError {
        VFIOError(
            .unexpectedAnswer, "read the capability chain", subject, hint: "the capability \"\(name)\" is cut short")
    }
}
