package import SystemPackage

/// An open `/dev/iommu`, shared by its address spaces. Closed with the last of them.
package final class IOMMUFDFile: Sendable, ControlledFile {
    package let kernel: any Kernel
    package let descriptor: FileDescriptor
    /// The devices that are bound to it, in any of its address spaces.
    let devices = OpenDevices()

    static let node: FilePath = "/dev/iommu"

    init(kernel: any Kernel) throws(VFIOError) {
        descriptor = try attempt(
            "open an iommufd", "\(Self.node)",
            refusals: .opening(
                "it",
                missing: "iommufd needs Linux 6.6 with CONFIG_IOMMUFD and CONFIG_VFIO_DEVICE_CDEV; "
                    + "AddressSpace(.type1) is the other way; `vfioctl doctor` tells what is missing"),
            kernel.open(Self.node, .readWrite))
        self.kernel = kernel
    }

    deinit { try? kernel.close(descriptor) }
}
