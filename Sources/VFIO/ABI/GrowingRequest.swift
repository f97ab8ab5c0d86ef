internal import CVFIO
internal import SystemPackage

/// The kernel's two-call pattern: a request whose answer grows says in `argsz` how much room it wants, and is made again
/// with that much.
enum GrowingRequest {
    /// No answer of VFIO comes near this many bytes; a kernel that asks for more is not to be believed.
    static let largestAnswer = 1 << 20

    /// Makes the request until its answer fits.
    ///
    /// - Parameters:
    ///   - header: The structure, without its `argsz`, which is its first member.
    ///   - operation: For the errors: what is asked.
    ///   - subject: For the errors: of whom.
    static func perform<Header: BitwiseCopyable>(
        _ request: UInt,
        _ header: Header,
        on descriptor: FileDescriptor,
        of kernel: any Kernel,
        operation: String,
        subject: @autoclosure () -> String
    ) throws(VFIOError) -> RequestBuffer {
        var byteCount = MemoryLayout<Header>.size
        // Each round is longer than the last, and a device's answer does not grow for ever.
        for _ in 0..<4 {
            let buffer = RequestBuffer(header, tail: byteCount - MemoryLayout<Header>.size)
            buffer.store(UInt32(byteCount), at: 0)
            do throws(Errno) {
                _ = try kernel.control(descriptor, request, with: buffer)
            } catch {
                throw VFIOError(.kernel, operation, subject(), errno: error)
            }
            let wanted = Int(buffer.header(UInt32.self))
            if wanted <= byteCount { return buffer }
            guard wanted <= largestAnswer else {
                throw VFIOError(
                    .unexpectedAnswer, operation, subject(), hint: "the kernel asks for room for \(wanted) bytes")
            }
            byteCount = wanted
        }
        throw VFIOError(
            .unexpectedAnswer, operation, subject(), hint: "the kernel asks for more room each time it is called")
    }
}
