internal import SystemPackage

/// A descriptor with one owner, closed at the latest when the owner's life ends.
struct OwnedDescriptor: ~Copyable, Sendable {
    let kernel: any Kernel
    let descriptor: FileDescriptor
    // `discard self` is not to be had beside an existential, so a flag tells the deinit that the work is done.
    private var isOpen = true

    init(_ descriptor: FileDescriptor, of kernel: any Kernel) {
        self.kernel = kernel
        self.descriptor = descriptor
    }

    /// Closes the descriptor and reports what the kernel said.
    consuming func close() throws(Errno) {
        isOpen = false
        try kernel.close(descriptor)
    }

    /// Hands the descriptor to the caller, who closes it.
    consuming func release() -> FileDescriptor {
        isOpen = false
        return descriptor
    }

    deinit {
        // Whoever wants to hear of a failure calls close(); here nobody is left to be told.
        if isOpen { try? kernel.close(descriptor) }
    }
}
