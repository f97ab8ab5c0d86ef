internal import CVFIO
public import SystemPackage

/// An iommufd in the place of a VFIO container: for programs with parts that speak the older interface.
///
/// A descriptor of an iommufd is taken by `VFIO_GROUP_SET_CONTAINER`, and answers the requests of type1 (`VFIO_SET_IOMMU`,
/// `VFIO_IOMMU_MAP_DMA`, …). They act on one of its address spaces, which is chosen here.
extension AddressSpace {
    /// Makes this address space the one that a container's requests act on, instead of any other of the iommufd
    /// (`IOMMU_VFIO_IOAS_SET`).
    ///
    /// What such requests map is unknown here: automatic placement may meet it (`.alreadyMapped`), so let them have addresses
    /// of their own. What they unmap has to be theirs.
    ///
    /// ```swift
    /// try space.becomeContainerSpace()
    /// let container = try space.duplicateIOMMUFD()   // for the part that speaks type1; it closes it
    /// ```
    ///
    /// - Throws: `.unsupported` with type1, whose container serves nothing else.
    public func becomeContainerSpace() throws(VFIOError) {
        let operation = "choose the container's address space (IOMMU_VFIO_IOAS)"
        let context = try requireIOMMUFD(for: operation)
        do throws(Errno) {
            _ = try containerSpace(CIOMMU_VFIO_IOAS_SET, of: context, context.ioas)
        } catch {
            throw VFIOError(.kernel, operation, "\(IOMMUFDFile.node)", errno: error)
        }
    }

    /// Whether a container's requests act on this address space (`IOMMU_VFIO_IOAS_GET`). So it is with type1.
    public func isContainerSpace() throws(VFIOError) -> Bool {
        let operation = "ask for the container's address space (IOMMU_VFIO_IOAS)"
        try requireIOMMU(for: operation)
        guard interface == .iommufd else { return true }
        let context = try requireIOMMUFD(for: operation)
        do throws(Errno) {
            return try containerSpace(CIOMMU_VFIO_IOAS_GET, of: context) == context.ioas
        } catch .operationNotSupportedByDevice {
            return false
        } catch {
            throw VFIOError(.kernel, operation, "\(IOMMUFDFile.node)", errno: error)
        }
    }

    /// Leaves a container's requests without an address space (`IOMMU_VFIO_IOAS_CLEAR`): they fail with `ENODEV` until
    /// there is one again. What is mapped stays.
    ///
    /// - Throws: `.unsupported` with type1; `.invalidArgument` when the container's address space is another one.
    public func resignAsContainerSpace() throws(VFIOError) {
        let operation = "clear the container's address space (IOMMU_VFIO_IOAS)"
        let context = try requireIOMMUFD(for: operation)
        guard try isContainerSpace() else {
            throw VFIOError(
                .invalidArgument, operation, "the IO address space", hint: "the container's is another one, or none")
        }
        do throws(Errno) {
            _ = try containerSpace(CIOMMU_VFIO_IOAS_CLEAR, of: context)
        } catch {
            throw VFIOError(.kernel, operation, "\(IOMMUFDFile.node)", errno: error)
        }
    }

    /// Another descriptor of the iommufd, which the caller closes: for other parts of the program, or another process.
    ///
    /// The iommufd and everything in it live as long as any of its descriptors.
    ///
    /// - Throws: `.unsupported` with type1.
    public func duplicateIOMMUFD() throws(VFIOError) -> FileDescriptor {
        let operation = "duplicate the iommufd's descriptor"
        let context = try requireIOMMUFD(for: operation)
        do throws(Errno) {
            return try kernel.duplicate(context.descriptor)
        } catch {
            throw VFIOError(.kernel, operation, "\(IOMMUFDFile.node)", errno: error)
        }
    }

    private func containerSpace(
        _ operation: UInt16, of context: IOMMUFDContext, _ ioas: UInt32 = 0
    ) throws(Errno) -> UInt32 {
        var request = ciommu_vfio_ioas()
        request.size = UInt32(MemoryLayout<ciommu_vfio_ioas>.size)
        request.op = operation
        request.ioas_id = ioas
        _ = try kernel.control(context.descriptor, CIOMMU_VFIO_IOAS, with: &request)
        return request.ioas_id
    }
}
