public import SystemPackage

/// An iommufd in the place of a VFIO container: for programs with parts that speak the older interface.
///
/// A descriptor of an iommufd is taken by `VFIO_GROUP_SET_CONTAINER`, and answers the requests of type1 (`VFIO_SET_IOMMU`,
/// `VFIO_IOMMU_MAP_DMA`, …). They act on one of its address spaces, which is chosen here.
extension AddressSpace {
    /// Makes this address space the one that a container's requests act on, instead of any other of the iommufd
    /// (`IOMMU_VFIO_IOAS_SET`). The corresponding request is `IOMMU_VFIO_IOAS`.
    ///
    /// What such requests map is unknown here: automatic placement may meet it (`.alreadyMapped`), so let them have addresses
    /// of their own. What they unmap has to be theirs.
    ///
    /// ```swift
    /// try space.setVFIOCompatIOAS()
    /// let container = try space.duplicateIOMMUFD()   // for the part that speaks type1; it closes it
    /// ```
    ///
    /// - Throws: `.unsupported` with type1, whose container serves nothing else.
    public func setVFIOCompatIOAS() throws(VFIOError) {
        let words = "choose the container's address space"
        let context = try requireIOMMUFD(for: ABI.Call.containerSpace.operation(words))
        _ = try ABI.containerSpace(.set(context.ioas)).perform(on: context, words, "\(IOMMUFDFile.node)")
    }

    /// Whether a container's requests act on this address space (`IOMMU_VFIO_IOAS_GET`). So it is with type1.
    /// The corresponding request is `IOMMU_VFIO_IOAS`.
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

    /// Leaves a container's requests without an address space (`IOMMU_VFIO_IOAS_CLEAR`): they fail with `ENODEV` until
    /// there is one again. What is mapped stays. The corresponding request is `IOMMU_VFIO_IOAS`.
    ///
    /// - Throws: `.unsupported` with type1; `.invalidArgument` when the container's address space is another one.
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

    /// Another descriptor of the iommufd, which the caller closes: for other parts of the program, or another process.
    ///
    /// The iommufd and everything in it live as long as any of its descriptors.
    ///
    /// - Throws: `.unsupported` with type1.
    public func duplicateIOMMUFD() throws(VFIOError) -> FileDescriptor {
        let operation = "duplicate the iommufd's descriptor"
        let context = try requireIOMMUFD(for: operation)
        return try attempt(operation, "\(IOMMUFDFile.node)", kernel.duplicate(context.descriptor))
    }
}
