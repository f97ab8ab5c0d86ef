package import SystemPackage

/// A descriptor with one owner, closed at the latest when the owner is deinitialized.
package struct OwnedDescriptor: ~Copyable, Sendable, ControlledFile {
    package let kernel: any Kernel
    package let descriptor: FileDescriptor
    // `discard self` is not available in a type that stores an existential, so a flag tells the deinit whether to
    // close.
    private var isOpen = true

    package init(_ descriptor: FileDescriptor, of kernel: any Kernel) {
        self.kernel = kernel
        self.descriptor = descriptor
    }

    /// Closes the descriptor and throws the kernel's error.
    package consuming func close() throws(Errno) {
        isOpen = false
        try kernel.close(descriptor)
    }

    /// Closes the descriptor, and converts a failure to a `VFIOError`.
    package consuming func close(_ operation: String, _ subject: String) throws(VFIOError) {
        isOpen = false
        let (kernel, descriptor) = (kernel, descriptor)
        try attempt(operation, subject, kernel.close(descriptor))
    }

    /// Releases the descriptor to the caller, who must close it.
    package consuming func release() -> FileDescriptor {
        isOpen = false
        return descriptor
    }

    deinit {
        // A deinit cannot throw; callers that need the error call close().
        if isOpen { try? kernel.close(descriptor) }
    }
}
