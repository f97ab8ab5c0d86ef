internal import CVFIO
package import SystemPackage

extension ABI {
    /// An ioctl whose answer may exceed its buffer. The kernel reports the required size, and the request is repeated
    /// with it.
    package struct GrowingRequest<Answer> {
        let call: Call
        /// The buffer size of the first call, in the units of the request.
        let firstRoom: Int
        /// The error text if the required size keeps growing.
        let endless: String
        let attempt: (_ room: Int, Asking) throws(VFIOError) -> Growth<Answer>

        /// Makes the request until its answer fits.
        ///
        /// - Parameter operation: ``Call/operation(_:)``.
        package func perform(
            on file: borrowing some ControlledFile & ~Copyable, operation: String, _ subject: String,
            refusals: @autoclosure () -> [Errno: Refusal] = [:]
        ) throws(VFIOError) -> Answer {
            var room = firstRoom
            // Two calls are enough, unless the answer grows in between; the limit bounds the loop.
            for _ in 0..<4 {
                let asking = Asking(
                    call: call, descriptor: file.descriptor, kernel: file.kernel, operation: operation,
                    subject: subject)
                do throws(VFIOError) {
                    switch try attempt(room, asking) {
                    case .answer(let answer): return answer
                    case .more(let wanted): room = wanted
                    }
                } catch {
                    guard let errno = error.errno, error.hint == nil else { throw error }
                    throw VFIOError(refused: errno, operation, subject, refusals())
                }
            }
            throw VFIOError(.unexpectedAnswer, operation, subject, hint: endless)
        }
    }

    /// An answer, or the buffer size that it requires.
    enum Growth<Answer> {
        case answer(Answer)
        case more(Int)
    }

    /// The operation and subject of a request, for errors.
    struct Asking {
        let call: Call
        let descriptor: FileDescriptor
        let kernel: any Kernel
        let operation: String
        let subject: String

        func send(_ buffer: RequestBuffer) throws(Errno) {
            _ = try unsafe kernel.control(descriptor, call.number, buffer.bytes)
        }

        func nonsense(_ hint: String, errno: Errno? = nil) -> VFIOError {
            VFIOError(.unexpectedAnswer, operation, subject, errno: errno, hint: hint)
        }

        func failure(_ errno: Errno) -> VFIOError { VFIOError(.kernel, operation, subject, errno: errno) }
    }

    /// No answer of VFIO comes near this many bytes; a larger size is an error.
    static let largestAnswer = 1 << 20

    /// An ioctl that reports the length of its answer in `argsz`, with a chain of capabilities after its structure.
    ///
    /// - Parameters:
    ///   - oldestSize: The size of the structure on the oldest kernel, which no capability overlaps.
    ///   - chain: The start of the chain, in bytes from the start of the answer; 0 without one.
    static func info<Structure: BitwiseCopyable>(
        _ call: Call, _ structure: Structure, oldestSize: Int = MemoryLayout<Structure>.size,
        chain: @escaping (Structure) -> UInt32
    ) -> GrowingRequest<InfoAnswer<Structure>> {
        let size = MemoryLayout<Structure>.size
        return GrowingRequest(
            call: call, firstRoom: size, endless: "the kernel asks for more room each time it is called"
        ) { (room, asking) throws(VFIOError) in
            let buffer = RequestBuffer(structure, tail: room - size)
            buffer.store(UInt32(room), at: 0)
            do throws(Errno) { try asking.send(buffer) } catch { throw asking.failure(error) }
            let wanted = Int(buffer.header(UInt32.self))
            guard wanted > room else {
                return .answer(
                    try InfoAnswer(
                        buffer, chainFrom: chain(buffer.header()), headerSize: oldestSize, subject: asking.subject))
            }
            guard wanted <= largestAnswer else {
                throw asking.nonsense("the kernel asks for room for \(wanted) bytes")
            }
            return .more(wanted)
        }
    }
}
