public import VFIO

extension Device {
    /// Makes a page table that a guest keeps, over one of the process's.
    /// The corresponding request is `IOMMU_HWPT_ALLOC`.
    ///
    /// - Parameters:
    ///   - parent: The page table below, made with `HardwarePageTable.Options.nestingParent`.
    ///   - guest: What the guest's page table is.
    ///   - options: `HardwarePageTable.Options.pasid` or nothing.
    /// - Throws: `.unsupported` with type1 and where the IOMMU does not nest; `.invalidArgument` for a parent that is none,
    ///   or is of another iommufd or IOMMU.
    public func makePageTable(
        over parent: borrowing HardwarePageTable, _ guest: GuestTranslation, options: HardwarePageTable.Options = []
    ) throws(VFIOError) -> NestedPageTable {
        let bound = try bound(for: BoundDevice.hwptAllocOperation)
        try requireNesting(parent, BoundDevice.makesNestedPageTable)
        return try bound.makePageTable(
            in: parent.object, guest, options: options, faults: nil)
    }

    /// Makes a page table that a guest keeps, whose faults the process answers.
    ///
    /// - Throws: As the other; `.unsupported` before Linux 6.11.
    public func makePageTable(
        over parent: borrowing HardwarePageTable, _ guest: GuestTranslation, options: HardwarePageTable.Options = [],
        faults: borrowing FaultQueue
    ) throws(VFIOError) -> NestedPageTable {
        let bound = try bound(for: BoundDevice.hwptAllocOperation)
        try requireNesting(parent, BoundDevice.makesNestedPageTable)
        return try bound.makePageTable(
            in: parent.object, guest, options: options, faults: faults.object)
    }

    /// Makes a page table that a guest keeps, in its virtual IOMMU. The corresponding request is `IOMMU_HWPT_ALLOC`.
    ///
    /// - Throws: As over a page table.
    public func makePageTable(
        in viommu: borrowing VirtualIOMMU, _ guest: GuestTranslation, options: HardwarePageTable.Options = []
    ) throws(VFIOError) -> NestedPageTable {
        try bound(for: BoundDevice.hwptAllocOperation).makePageTable(
            in: viommu.object, guest, options: options, faults: nil)
    }

    /// Makes a page table that a guest keeps, in its virtual IOMMU, whose faults the process answers.
    ///
    /// - Throws: As over a page table.
    public func makePageTable(
        in viommu: borrowing VirtualIOMMU, _ guest: GuestTranslation, options: HardwarePageTable.Options = [],
        faults: borrowing FaultQueue
    ) throws(VFIOError) -> NestedPageTable {
        try bound(for: BoundDevice.hwptAllocOperation).makePageTable(
            in: viommu.object, guest, options: options, faults: faults.object)
    }

    /// Sends the device's DMA through a guest's page table, and then through that one's parent.
    /// The corresponding request is `VFIO_DEVICE_ATTACH_IOMMUFD_PT`.
    ///
    /// - Throws: As with any page table. Some IOMMUs first want a ``VirtualDevice``.
    public func attach(to table: borrowing NestedPageTable) throws(VFIOError) { try attach(to: table.object) }

    /// Sends the DMA with a PASID of the device through a guest's page table made for it (`VFIO_DEVICE_ATTACH_PASID`).
    /// The corresponding request is `VFIO_DEVICE_ATTACH_IOMMUFD_PT`.
    ///
    /// - Throws: As with the other page tables.
    public func attach(to table: borrowing NestedPageTable, pasid: UInt32) throws(VFIOError) {
        try attach(to: table.object, pasid: pasid)
    }

    /// Makes a guest's share of the IOMMU that the device is behind. The corresponding request is `IOMMU_VIOMMU_ALLOC`.
    ///
    /// - Parameters:
    ///   - kind: What the guest takes it for; the IOMMU has to be of that make.
    ///   - parent: The page table with the guest's memory, made with `HardwarePageTable.Options.nestingParent`.
    /// - Throws: `.unsupported` with type1, before Linux 6.13, and where the IOMMU has none of this kind; `.invalidArgument`
    ///   for a parent that is none, or is of another iommufd.
    public func makeVirtualIOMMU(
        _ kind: VirtualIOMMU.Kind, over parent: borrowing HardwarePageTable
    ) throws(VFIOError) -> VirtualIOMMU {
        let operation = ABI.Call.makeVirtualIOMMU.operation("make a virtual IOMMU")
        let bound = try bound(for: operation)
        try requireNesting(parent, operation)
        return try bound.makeVirtualIOMMU(kind, over: parent.object)
    }

    private func requireNesting(
        _ parent: borrowing HardwarePageTable, _ operation: String
    ) throws(VFIOError) {
        guard parent.options.contains(.nestingParent) else {
            throw VFIOError(
                .invalidArgument, operation, "\(address)", hint: "the page table below is made with nestingParent")
        }
    }

    /// Gives the device its name in a guest's IOMMU. A device has one at a time.
    /// The corresponding request is `IOMMU_VDEVICE_ALLOC`.
    ///
    /// - Parameters:
    ///   - viommu: Of the IOMMU that the device is behind.
    ///   - number: What the guest calls the device, such as its stream number.
    /// - Throws: `.unsupported` with type1 and before Linux 6.13; `.busy` when the device has a name, or another device this
    ///   one; `.invalidArgument` for a virtual IOMMU of another iommufd or IOMMU.
    public func makeVirtualDevice(
        in viommu: borrowing VirtualIOMMU, number: UInt64
    ) throws(VFIOError) -> VirtualDevice {
        try bound(for: ABI.Call.makeVirtualDevice.operation("name the device in a virtual IOMMU")).makeVirtualDevice(
            in: viommu.object, number: number, of: core)
    }
}
