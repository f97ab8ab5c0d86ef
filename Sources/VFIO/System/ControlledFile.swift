package import SystemPackage

/// An open file that requests are made on, and its kernel.
package protocol ControlledFile: ~Copyable {
    var kernel: any Kernel { get }
    var descriptor: FileDescriptor { get }
}

/// A descriptor that another object owns.
package struct BorrowedDescriptor: ControlledFile {
    package let descriptor: FileDescriptor
    package let kernel: any Kernel

    package init(_ descriptor: FileDescriptor, of kernel: any Kernel) {
        self.descriptor = descriptor
        self.kernel = kernel
    }
}
