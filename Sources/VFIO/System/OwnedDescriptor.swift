package import SystemPackage

/// A descriptor with one owner, closed at the latest when the owner's life ends.
package struct OwnedDescriptor: ~Copyable, Sendable, ControlledFile {
    package let kernel: any Kernel
    package let descriptor: FileDescriptor
    // `discard self` is not to be had beside an existential, so a flag tells the deinit that the work is done.
    private var isOpen = true

    package init(_ descriptor: FileDescriptor, of kernel: any Kernel) {
        self.kernel = kernel
        self.descriptor = descriptor
    }

    /// Closes the descriptor and reports what the kernel said.
    package consuming func close() throws(Errno) {
        isOpen = false
        try kernel.close(descriptor)
    }

    /// Closes the descriptor, and says of a failure what was closed.
    package consuming func close(_ operation: String, _ subject: String) throws(VFIOError) {
        isOpen = false
        let (kernel, descriptor) = (kernel, descriptor)
        try attempt(operation, subject, kernel.close(descriptor))
    }

    /// Hands the descriptor to the caller, who closes it.
    package consuming func release() -> FileDescriptor {
        isOpen = false
        return descriptor
    }

    deinit {
        // Whoever wants to hear of a failure calls close(); here nobody is left to be told.
        if isOpen { try? kernel.close(descriptor) }
    }
}
