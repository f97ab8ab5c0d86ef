/// The kernel's ioctls, a function for each that makes the request: of vfio.h, iommufd.h and dma-buf.h, and of kvm.h as far as
/// VFIO has to do with it.
///
/// Names and numbers are in ``Call``. The documentation of each function has a line of one form: *The corresponding request is
/// …*. Other code makes no ioctl, and stamps no size.
package enum ABI {
    /// The bytes of what follows a structure, or of what it points to.
    package static func bytes<Element: BitwiseCopyable>(_ elements: [Element]) -> [UInt8] {
        unsafe elements.withUnsafeBytes { unsafe [UInt8]($0) }
    }
}
