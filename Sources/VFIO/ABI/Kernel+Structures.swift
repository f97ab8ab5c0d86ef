internal import SystemPackage

extension Kernel {
    /// An ioctl on a structure of fixed size, which the kernel may fill in.
    // Inlined, or else it is called with the structure's metadata.
    @inline(__always)
    func control<Structure: BitwiseCopyable>(
        _ descriptor: FileDescriptor, _ request: UInt, with structure: inout Structure
    ) throws(Errno) -> Int {
        try unsafe withUnsafeMutableBytes(of: &structure) { (bytes) throws(Errno) -> Int in
            try unsafe control(descriptor, request, bytes)
        }
    }

    /// An ioctl on a structure with a tail.
    func control(
        _ descriptor: FileDescriptor, _ request: UInt, with buffer: borrowing RequestBuffer
    ) throws(Errno) -> Int {
        try unsafe control(descriptor, request, buffer.bytes)
    }
}
