/// The kernel's ioctls, with one function for each: those of vfio.h, iommufd.h and dma-buf.h, and those of kvm.h that
/// VFIO needs.
///
/// Names and numbers are in ``Call``. The documentation of each function has a line of one form: *The corresponding
/// request is …*. Other code makes no ioctl, and sets no `argsz`.
package enum ABI {
    /// The bytes of an array that follows a structure, or that it points to.
    package static func bytes<Element: BitwiseCopyable>(_ elements: [Element]) -> [UInt8] {
        unsafe elements.withUnsafeBytes { unsafe [UInt8]($0) }
    }
}
