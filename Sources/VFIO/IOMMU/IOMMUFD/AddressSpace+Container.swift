public import SystemPackage

/// An iommufd in the place of a VFIO container, for programs with parts that use the type1 interface.
///
/// `VFIO_GROUP_SET_CONTAINER` accepts a descriptor of an iommufd, which then handles the requests of type1
/// (`VFIO_SET_IOMMU`, `VFIO_IOMMU_MAP_DMA`, …). They act on one of its address spaces, which is chosen here.
extension AddressSpace {
    /// Makes this address space the one of its iommufd that a container's requests act on (`IOMMU_VFIO_IOAS_SET`).
    /// The corresponding request is `IOMMU_VFIO_IOAS`.
    ///
    /// The library does not know what such requests map: automatic placement may collide with it (`.alreadyMapped`), so
    /// use separate IOVA ranges. Such requests must only unmap their own mappings.
    ///
    /// ```swift
    /// try space.setVFIOCompatIOAS()
    /// let container = try space.duplicateIOMMUFD()   // for the part that speaks type1; it closes it
    /// ```
    ///
    /// - Throws: `.unsupported` with type1, whose container always acts on its own address space.
    public func setVFIOCompatIOAS() throws(VFIOError) {
        let words = "choose the container's address space"
        let context = try requireIOMMUFD(for: ABI.Call.containerSpace.operation(words))
        _ = try ABI.containerSpace(.set(context.ioas)).perform(on: context, words, "\(IOMMUFDFile.node)")
    }

    /// Returns whether a container's requests act on this address space (`IOMMU_VFIO_IOAS_GET`), which they always do
    /// with type1. The corresponding request is `IOMMU_VFIO_IOAS`.
    public func isVFIOCompatIOAS() throws(VFIOError) -> Bool {
        let operation = ABI.Call.containerSpace.operation("ask for the container's address space")
        try requireIOMMU(for: operation)
        guard interface == .iommufd else { return true }
        let context = try requireIOMMUFD(for: operation)
        do throws(Errno) {
            return try ABI.containerSpace(.get).perform(on: context) == context.ioas
        } catch .operationNotSupportedByDevice {
            return false
        } catch {
            throw VFIOError(refused: error, operation, "\(IOMMUFDFile.node)")
        }
    }

    /// Removes the address space of a container's requests (`IOMMU_VFIO_IOAS_CLEAR`): they fail with `ENODEV` until one
    /// is set again. Mappings stay. The corresponding request is `IOMMU_VFIO_IOAS`.
    ///
    /// - Throws: `.unsupported` with type1; `.invalidArgument` if the container's address space is another one.
    public func clearVFIOCompatIOAS() throws(VFIOError) {
        let words = "clear the container's address space"
        let operation = ABI.Call.containerSpace.operation(words)
        let context = try requireIOMMUFD(for: operation)
        guard try isVFIOCompatIOAS() else {
            throw VFIOError(
                .invalidArgument, operation, "the IO address space", hint: "the container's is another one, or none")
        }
        _ = try ABI.containerSpace(.clear).perform(on: context, words, "\(IOMMUFDFile.node)")
    }

    /// Returns another descriptor of the iommufd, for other parts of the program or another process. The caller must
    /// close it.
    ///
    /// The iommufd and all its objects exist until all of its descriptors are closed.
    ///
    /// - Throws: `.unsupported` with type1.
    public func duplicateIOMMUFD() throws(VFIOError) -> FileDescriptor {
        let operation = "duplicate the iommufd's descriptor"
        let context = try requireIOMMUFD(for: operation)
        return try attempt(operation, "\(IOMMUFDFile.node)", kernel.duplicate(context.descriptor))
    }
}
