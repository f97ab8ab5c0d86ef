internal import CVFIO
internal import SystemPackage

extension AddressSpace {
    /// Returns whether the container has an extension. An iommufd's address space has none.
    /// The corresponding request is `VFIO_CHECK_EXTENSION`.
    ///
    /// Some extensions depend on the devices and are missing until the first one is opened.
    ///
    /// - Throws: `.kernel` if the request fails.
    public func supports(_ feature: Type1Extension) throws(VFIOError) -> Bool {
        guard let container = backend as? Type1Container else { return false }
        return try container.hasExtension(feature)
    }

    /// Returns whether the kernel's iommufd has a request. A container has none.
    ///
    /// The hardware may still lack support; the request itself reports that.
    ///
    /// - Throws: `.kernel` if the probe fails with an unexpected errno.
    public func supports(_ feature: IOMMUFDFeature) throws(VFIOError) -> Bool {
        guard let context = backend as? IOMMUFDContext else { return false }
        return try context.knows(feature)
    }

    /// Returns the container's current IOMMU properties. The corresponding request is `VFIO_IOMMU_GET_INFO`.
    ///
    /// - Throws: `.unsupported` with iommufd, which has ``iovaRanges()`` and ``mappingAlignment()`` instead;
    ///   `.noDevice` before the first device.
    public func type1Info() throws(VFIOError) -> Type1Info {
        let operation = ABI.Call.getType1Info.operation("ask for the container's properties")
        return try requireContainer(for: operation).info(for: operation)
    }

    /// Throws if the devices of this address space have no IOMMU.
    package func requireIOMMU(for operation: String) throws(VFIOError) {
        guard !backend.isNoIOMMU else {
            throw VFIOError(
                .unsupported, operation, "devices without an IOMMU",
                hint: "nothing translates the addresses of their DMA: they take physical addresses, which the memory "
                    + "of a NoIOMMUAddressSpace tells")
        }
    }

    /// Returns the container behind this address space, or throws if there is none.
    func requireContainer(for operation: String) throws(VFIOError) -> Type1Container {
        try requireIOMMU(for: operation)
        guard let container = backend as? Type1Container else {
            throw VFIOError(
                .unsupported, operation, "the IO address space",
                hint: "only a type1 container has this; this address space is an iommufd's")
        }
        return container
    }

    /// Returns the iommufd behind this address space, or throws if there is none.
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
