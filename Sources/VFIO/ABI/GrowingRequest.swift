internal import CVFIO
package import SystemPackage

extension ABI {
    /// An ioctl whose answer may be longer than the room for it. The kernel says how much it wants, and the request is made
    /// again with that much.
    package struct GrowingRequest<Answer> {
        let call: Call
        /// How much room the first call has, in whatever the request counts.
        let firstRoom: Int
        /// What is said of a kernel that never has enough.
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
            // A second call is enough, unless something came or went in between; and nothing grows for ever.
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

    /// An answer, or the room that it would take.
    enum Growth<Answer> {
        case answer(Answer)
        case more(Int)
    }

    /// Who asks for what.
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

    /// No answer of VFIO comes near this many bytes; a kernel that asks for more is not to be believed.
    static let largestAnswer = 1 << 20

    /// An ioctl that says in `argsz` how long its answer is, which has a chain of capabilities behind its structure.
    ///
    /// - Parameters:
    ///   - oldestSize: The size of the structure on the oldest kernel, which no capability overlaps.
    ///   - chain: Where the chain begins, in bytes from the start of the answer; 0 without one.
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
