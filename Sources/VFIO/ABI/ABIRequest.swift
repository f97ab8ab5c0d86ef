package import SystemPackage

/// An ioctl with its arguments.
package protocol ABIRequest<Answer> {
    /// The result of the request.
    associatedtype Answer
    var call: ABI.Call { get }
    func send(to descriptor: FileDescriptor, of kernel: any Kernel) throws(Errno) -> Answer
}

extension ABIRequest {
    /// Makes the request, for callers that handle the errno.
    @inline(__always)
    package func perform(on file: borrowing some ControlledFile & ~Copyable) throws(Errno) -> Answer {
        try send(to: file.descriptor, of: file.kernel)
    }

    /// Makes the request, and converts a failure to a `VFIOError`.
    ///
    /// - Parameters:
    ///   - words: The description of the operation; the request's name is appended.
    ///   - subject: What the operation acts on.
    ///   - hint: The hint of `.unsupported`, for a kernel, driver or device that lacks this.
    ///   - refusals: The other errors that have a more specific code than `.kernel`.
    package func perform(
        on file: borrowing some ControlledFile & ~Copyable, _ words: @autoclosure () -> String,
        _ subject: @autoclosure () -> String, lacking hint: @autoclosure () -> String? = nil,
        refusals: @autoclosure () -> [Errno: Refusal] = [:]
    ) throws(VFIOError) -> Answer {
        do throws(Errno) {
            return try send(to: file.descriptor, of: file.kernel)
        } catch {
            throw call.failure(error, call.operation(words()), subject(), lacking: hint(), refusals())
        }
    }

    /// Returns whether the request is supported.
    package func isOffered(
        on file: borrowing some ControlledFile & ~Copyable, _ words: @autoclosure () -> String,
        _ subject: @autoclosure () -> String
    ) throws(VFIOError) -> Bool {
        do throws(Errno) {
            _ = try send(to: file.descriptor, of: file.kernel)
            return true
        } catch {
            if call.isLacking(by: error) { return false }
            throw call.failure(error, call.operation(words()), subject(), lacking: nil, [:])
        }
    }
}

extension ABI {
    /// An ioctl whose argument is a number.
    package struct ValueRequest<Answer>: ABIRequest {
        package let call: Call
        let value: UInt
        let answer: (Int) -> Answer

        init(_ call: Call, _ value: UInt = 0, answer: @escaping (Int) -> Answer) {
            self.call = call
            self.value = value
            self.answer = answer
        }

        package func send(to descriptor: FileDescriptor, of kernel: any Kernel) throws(Errno) -> Answer {
            answer(try kernel.control(descriptor, call.number, value: value))
        }
    }

    /// An ioctl on a structure of fixed size, which is the answer as well.
    ///
    /// It holds no reference, so that mapping and unmapping retain and release nothing for it.
    package struct PlainRequest<Structure>: ABIRequest {
        package let call: Call
        let structure: Structure

        @inline(__always)
        init(_ call: Call, _ structure: Structure) {
            self.call = call
            self.structure = structure
        }

        @inline(__always)
        package func send(to descriptor: FileDescriptor, of kernel: any Kernel) throws(Errno) -> Structure {
            var structure = structure
            _ = try kernel.control(descriptor, call, with: &structure, size: MemoryLayout<Structure>.size)
            return structure
        }
    }

    /// An ioctl on a structure of fixed size, which the kernel may fill in.
    package struct Request<Structure, Answer>: ABIRequest {
        package let call: Call
        let structure: Structure
        let size: Int
        let memory: RequestBuffer?
        let answer: (Structure, Int) -> Answer

        /// - Parameters:
        ///   - size: The value of the structure's size field.
        ///   - memory: The memory that the structure points to.
        ///   - answer: Makes the answer from the structure that the kernel returns, and the result.
        @inline(__always)
        init(
            _ call: Call, _ structure: Structure, size: Int = MemoryLayout<Structure>.size,
            pointingTo memory: RequestBuffer? = nil, answer: @escaping (Structure, Int) -> Answer
        ) {
            self.call = call
            self.structure = structure
            self.size = size
            self.memory = memory
            self.answer = answer
        }

        @inline(__always)
        package func send(to descriptor: FileDescriptor, of kernel: any Kernel) throws(Errno) -> Answer {
            defer { withExtendedLifetime(memory) {} }
            var structure = structure
            let result = try kernel.control(descriptor, call, with: &structure, size: size)
            return answer(structure, result)
        }
    }

    /// An ioctl on a structure with a tail, both of which the kernel may fill in.
    package struct TailedRequest<Answer>: ABIRequest {
        package let call: Call
        let content: [UInt8]
        let memory: RequestBuffer?
        let answer: (RequestBuffer, Int) throws(Errno) -> Answer

        init(
            _ call: Call, _ content: [UInt8], pointingTo memory: RequestBuffer? = nil,
            answer: @escaping (RequestBuffer, Int) throws(Errno) -> Answer
        ) {
            self.call = call
            self.content = content
            self.memory = memory
            self.answer = answer
        }

        package func send(to descriptor: FileDescriptor, of kernel: any Kernel) throws(Errno) -> Answer {
            defer { withExtendedLifetime(memory) {} }
            let buffer = RequestBuffer(content)
            if call.isSized { buffer.store(UInt32(buffer.byteCount), at: 0) }
            let result = try unsafe kernel.control(descriptor, call.number, buffer.bytes)
            return try answer(buffer, result)
        }
    }
}

extension ABI.ValueRequest where Answer == Void {
    init(_ call: ABI.Call, _ value: UInt = 0) { self.init(call, value) { _ in } }
}

extension ABI.Request where Answer == Void {
    @inline(__always)
    init(
        _ call: ABI.Call, _ structure: Structure, size: Int = MemoryLayout<Structure>.size,
        pointingTo memory: RequestBuffer? = nil
    ) {
        self.init(call, structure, size: size, pointingTo: memory) { (_, _) in }
    }
}

extension Kernel {
    /// An ioctl on a structure that begins with its size, if the call says so.
    // Inlined, since the call would otherwise pass the structure's metadata.
    @inline(__always)
    fileprivate func control<Structure>(
        _ descriptor: FileDescriptor, _ call: ABI.Call, with structure: inout Structure, size: Int
    ) throws(Errno) -> Int {
        try unsafe withUnsafeMutableBytes(of: &structure) { (bytes) throws(Errno) -> Int in
            if call.isSized { unsafe bytes.storeBytes(of: UInt32(truncatingIfNeeded: size), as: UInt32.self) }
            return try unsafe control(descriptor, call.number, bytes)
        }
    }

    /// An ioctl on a structure of fixed size, which the kernel may fill in.
    func control<Structure: BitwiseCopyable>(
        _ descriptor: FileDescriptor, _ request: UInt, with structure: inout Structure
    ) throws(Errno) -> Int {
        try unsafe withUnsafeMutableBytes(of: &structure) { (bytes) throws(Errno) -> Int in
            try unsafe control(descriptor, request, bytes)
        }
    }

    func control(_ descriptor: FileDescriptor, _ request: UInt, with buffer: RequestBuffer) throws(Errno) -> Int {
        try unsafe control(descriptor, request, buffer.bytes)
    }
}
