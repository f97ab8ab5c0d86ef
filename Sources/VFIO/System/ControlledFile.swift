package import SystemPackage

/// An open file, and the kernel that it is open in: what requests are made of.
package protocol ControlledFile: ~Copyable {
    var kernel: any Kernel { get }
    var descriptor: FileDescriptor { get }
}

/// A descriptor that belongs to somebody else.
package struct BorrowedDescriptor: ControlledFile {
    package let descriptor: FileDescriptor
    package let kernel: any Kernel

    package init(_ descriptor: FileDescriptor, of kernel: any Kernel) {
        self.descriptor = descriptor
        self.kernel = kernel
    }
}
