internal import CVFIO
internal import SystemPackage

extension AddressSpace {
    /// Whether the container has an extension. An iommufd's address space has none.
    /// The corresponding request is `VFIO_CHECK_EXTENSION`.
    ///
    /// Some depend on the devices: before the first one they are told as missing.
    ///
    /// - Throws: `.kernel` when the kernel does not answer.
    public func supports(_ feature: Type1Extension) throws(VFIOError) -> Bool {
        guard let container = backend as? Type1Container else { return false }
        return try container.hasExtension(feature)
    }

    /// Whether the iommufd knows a request. A container knows none.
    ///
    /// This is about the kernel. Whether the machine's IOMMU can do it as well, the request itself tells.
    ///
    /// - Throws: `.kernel` when the kernel answers with neither.
    public func supports(_ feature: IOMMUFDFeature) throws(VFIOError) -> Bool {
        guard let context = backend as? IOMMUFDContext else { return false }
        return try context.knows(feature)
    }

    /// What the container tells of its IOMMU, as it is now. The corresponding request is `VFIO_IOMMU_GET_INFO`.
    ///
    /// - Throws: `.unsupported` with iommufd, whose answers are ``iovaRanges()`` and ``mappingAlignment()``; `.noDevice`
    ///   before the first device.
    public func type1Info() throws(VFIOError) -> Type1Info {
        let operation = ABI.Call.getType1Info.operation("ask for the container's properties")
        return try requireContainer(for: operation).info(for: operation)
    }

    /// Refuses what makes no sense for devices that have no IOMMU.
    package func requireIOMMU(for operation: String) throws(VFIOError) {
        guard !backend.isNoIOMMU else {
            throw VFIOError(
                .unsupported, operation, "devices without an IOMMU",
                hint: "nothing translates the addresses of their DMA: they take physical addresses, which the memory "
                    + "of a NoIOMMUAddressSpace tells")
        }
    }

    /// The container behind this address space, or an error that says that there is none.
    func requireContainer(for operation: String) throws(VFIOError) -> Type1Container {
        try requireIOMMU(for: operation)
        guard let container = backend as? Type1Container else {
            throw VFIOError(
                .unsupported, operation, "the IO address space",
                hint: "only a type1 container has this; this address space is an iommufd's")
        }
        return container
    }

    /// The iommufd behind this address space, or an error that says that there is none.
    func requireIOMMUFD(for operation: String) throws(VFIOError) -> IOMMUFDContext {
        try requireIOMMU(for: operation)
        guard let context = backend as? IOMMUFDContext else {
            throw VFIOError(
                .unsupported, operation, Type1Info.subject,
                hint: "only an iommufd has this; see AddressSpace(.iommufd)")
        }
        return context
    }
}
