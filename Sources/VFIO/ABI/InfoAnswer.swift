internal import CVFIO

/// The answer of ``ABI/info(_:_:oldestSize:chain:)``: a structure, followed by a chain of capabilities
/// (`vfio_info_cap_header`).
///
/// The answer is read through bounds-checked loads only, since its offsets come from the kernel.
package struct InfoAnswer<Structure: BitwiseCopyable> {
    private let buffer: RequestBuffer
    var byteCount: Int { buffer.byteCount }
    private let offsets: [UInt16: Int]
    private let subject: String

    /// Walks the chain. A broken one (past the end, into the header, in a circle) is an error rather than a trap or an
    /// endless loop.
    ///
    /// - Parameters:
    ///   - start: `cap_offset`, in bytes from the start of the buffer; 0 is an empty chain.
    ///   - headerSize: The size of the structure in front, which no capability may overlap.
    ///   - subject: The device or container, for errors.
    init(
        _ buffer: RequestBuffer, chainFrom start: UInt32, headerSize: Int, subject: String
    ) throws(VFIOError) {
        let operation = "read the capability chain"
        var offsets: [UInt16: Int] = [:]
        var offset = Int(start)
        while offset != 0 {
            guard offset >= headerSize, let header = buffer.load(cvfio_info_cap_header.self, at: offset) else {
                throw VFIOError(
                    .unexpectedAnswer, operation, subject,
                    hint: "a capability at offset \(offset) is outside of the \(buffer.byteCount) bytes of the answer")
            }
            offsets[header.id] = offset
            // The kernel appends each capability after the last, so a pointer back can only form a circle.
            guard header.next == 0 || Int(header.next) < headerSize || Int(header.next) > offset else {
                throw VFIOError(.unexpectedAnswer, operation, subject, hint: "the chain goes in a circle")
            }
            offset = Int(header.next)
        }
        self.buffer = buffer
        self.offsets = offsets
        self.subject = subject
    }

    package var structure: Structure { buffer.header() }

    /// Returns whether the answer has a capability.
    package func has(_ id: UInt16) -> Bool { offsets[id] != nil }

    /// Returns a capability that is a structure; `nil` if the answer lacks it.
    package func capability<Content: BitwiseCopyable>(
        _ id: UInt16, _ name: String, as type: Content.Type = Content.self
    ) throws(VFIOError) -> Content? {
        guard let offset = offsets[id] else { return nil }
        guard let content = buffer.load(type, at: offset) else { throw truncated(name) }
        return content
    }

    /// Returns the array that follows the structure of a capability.
    ///
    /// - Parameters:
    ///   - offset: From the start of the capability.
    ///   - count: The number of elements according to the capability.
    package func elements<Element: BitwiseCopyable>(
        of id: UInt16, _ name: String, at offset: Int, count: Int, as type: Element.Type = Element.self
    ) throws(VFIOError) -> [Element] {
        guard let start = offsets[id] else { return [] }
        var elements: [Element] = []
        for index in 0..<count {
            let position = start + offset + index * MemoryLayout<Element>.size
            guard let element = buffer.load(type, at: position) else { throw truncated(name) }
            elements.append(element)
        }
        return elements
    }

    /// Returns a member that later versions of a capability have, at an offset from the capability's start.
    package func member<Member: BitwiseCopyable>(
        of id: UInt16, _ name: String, at offset: Int, as type: Member.Type = Member.self
    ) throws(VFIOError) -> Member {
        guard let start = offsets[id], let member = buffer.load(type, at: start + offset) else { throw truncated(name) }
        return member
    }

    func truncated(_ name: String) -> VFIOError {
        VFIOError(
            .unexpectedAnswer, "read the capability chain", subject, hint: "the capability \"\(name)\" is cut short")
    }
}
