internal import CVFIO
internal import SystemPackage

/// An open `/dev/iommu`, shared by the address spaces in it. Closed with the last of them.
final class IOMMUFDFile: Sendable {
    let kernel: any Kernel
    let descriptor: FileDescriptor
    /// The devices that are bound to it, whichever of its address spaces they are in.
    let devices = OpenDevices()

    static let node: FilePath = "/dev/iommu"

    init(kernel: any Kernel) throws(VFIOError) {
        do throws(Errno) {
            descriptor = try kernel.open(Self.node, .readWrite)
        } catch {
            throw switch error {
            case .noSuchFileOrDirectory, .operationNotSupportedByDevice:
                VFIOError(
                    .unsupported, "open an iommufd", "\(Self.node)", errno: error,
                    hint:
                        "iommufd needs Linux 6.6 with CONFIG_IOMMUFD and CONFIG_VFIO_DEVICE_CDEV; AddressSpace(.type1) is "
                        + "the other way")
            case .permissionDenied, .notPermitted:
                VFIOError(
                    .permissionDenied, "open an iommufd", "\(Self.node)", errno: error,
                    hint: "the user needs read and write access to it")
            default:
                VFIOError(.kernel, "open an iommufd", "\(Self.node)", errno: error)
            }
        }
        self.kernel = kernel
    }

    deinit { try? kernel.close(descriptor) }

    /// Makes an IO address space, and gives its number.
    func makeIOAS() throws(VFIOError) -> UInt32 {
        var request = ciommu_ioas_alloc()
        request.size = UInt32(MemoryLayout<ciommu_ioas_alloc>.size)
        do throws(Errno) {
            _ = try kernel.control(descriptor, CIOMMU_IOAS_ALLOC, with: &request)
        } catch {
            throw VFIOError(.kernel, "make an IO address space (IOMMU_IOAS_ALLOC)", "\(Self.node)", errno: error)
        }
        return request.out_ioas_id
    }

    /// Destroys an object (`IOMMU_DESTROY`).
    func destroy(_ object: UInt32) throws(Errno) {
        var request = ciommu_destroy()
        request.size = UInt32(MemoryLayout<ciommu_destroy>.size)
        request.id = object
        _ = try kernel.control(descriptor, CIOMMU_DESTROY, with: &request)
    }

    /// Gets or sets an option (`IOMMU_OPTION`).
    func option(_ number: UInt32, of object: UInt32 = 0, set value: UInt64? = nil) throws(Errno) -> UInt64 {
        var request = ciommu_option()
        request.size = UInt32(MemoryLayout<ciommu_option>.size)
        request.option_id = number
        request.op = value == nil ? CIOMMU_OPTION_OP_GET : CIOMMU_OPTION_OP_SET
        request.object_id = object
        request.val64 = value ?? 0
        _ = try kernel.control(descriptor, CIOMMU_OPTION, with: &request)
        return request.val64
    }
}
