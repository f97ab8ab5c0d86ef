public import VFIO

extension Device {
    /// Creates a nested (stage-1) page table over a page table of the process.
    /// The corresponding request is `IOMMU_HWPT_ALLOC`.
    ///
    /// - Parameters:
    ///   - parent: The parent page table, made with `HardwarePageTable.Options.nestingParent`.
    ///   - guest: The guest's configuration of the page table.
    ///   - options: `HardwarePageTable.Options.pasid` or nothing.
    /// - Throws: `.unsupported` with type1 and if the IOMMU does not support nesting; `.invalidArgument` for a parent
    ///   without `nestingParent`, or of another iommufd or IOMMU.
    public func makePageTable(
        over parent: borrowing HardwarePageTable, _ guest: GuestTranslation, options: HardwarePageTable.Options = []
    ) throws(VFIOError) -> NestedPageTable {
        let bound = try bound(for: BoundDevice.hwptAllocOperation)
        try requireNesting(parent, BoundDevice.makesNestedPageTable)
        return try bound.makePageTable(
            in: parent.object, guest, options: options, faults: nil)
    }

    /// Creates a nested page table whose faults the process handles. The corresponding request is `IOMMU_HWPT_ALLOC`.
    ///
    /// - Throws: As the other overload; `.unsupported` before Linux 6.11.
    public func makePageTable(
        over parent: borrowing HardwarePageTable, _ guest: GuestTranslation, options: HardwarePageTable.Options = [],
        faults: borrowing FaultQueue
    ) throws(VFIOError) -> NestedPageTable {
        let bound = try bound(for: BoundDevice.hwptAllocOperation)
        try requireNesting(parent, BoundDevice.makesNestedPageTable)
        return try bound.makePageTable(
            in: parent.object, guest, options: options, faults: faults.object)
    }

    /// Creates a nested page table in a virtual IOMMU. The corresponding request is `IOMMU_HWPT_ALLOC`.
    ///
    /// - Throws: As over a page table.
    public func makePageTable(
        in viommu: borrowing VirtualIOMMU, _ guest: GuestTranslation, options: HardwarePageTable.Options = []
    ) throws(VFIOError) -> NestedPageTable {
        try bound(for: BoundDevice.hwptAllocOperation).makePageTable(
            in: viommu.object, guest, options: options, faults: nil)
    }

    /// Creates a nested page table in a virtual IOMMU, whose faults the process handles.
    /// The corresponding request is `IOMMU_HWPT_ALLOC`.
    ///
    /// - Throws: As over a page table.
    public func makePageTable(
        in viommu: borrowing VirtualIOMMU, _ guest: GuestTranslation, options: HardwarePageTable.Options = [],
        faults: borrowing FaultQueue
    ) throws(VFIOError) -> NestedPageTable {
        try bound(for: BoundDevice.hwptAllocOperation).makePageTable(
            in: viommu.object, guest, options: options, faults: faults.object)
    }

    /// Directs the device's DMA to a nested page table, whose output its parent translates.
    /// The corresponding request is `VFIO_DEVICE_ATTACH_IOMMUFD_PT`.
    ///
    /// - Throws: As for any page table. Some IOMMUs require a ``VirtualDevice`` first.
    public func attach(to table: borrowing NestedPageTable) throws(VFIOError) { try attach(to: table.object) }

    /// Directs the DMA with a PASID of the device to a nested page table (`VFIO_DEVICE_ATTACH_PASID`).
    /// The corresponding request is `VFIO_DEVICE_ATTACH_IOMMUFD_PT`.
    ///
    /// - Throws: As for other page tables.
    public func attach(to table: borrowing NestedPageTable, pasid: UInt32) throws(VFIOError) {
        try attach(to: table.object, pasid: pasid)
    }

    /// Creates a virtual IOMMU on the IOMMU that the device is behind.
    /// The corresponding request is `IOMMU_VIOMMU_ALLOC`.
    ///
    /// - Parameters:
    ///   - kind: The type of the virtual IOMMU, which must match the IOMMU's.
    ///   - parent: The page table with the guest's memory, made with `HardwarePageTable.Options.nestingParent`.
    /// - Throws: `.unsupported` with type1, before Linux 6.13, and if the IOMMU does not support this type;
    ///   `.invalidArgument` for a parent without `nestingParent`, or of another iommufd.
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

    /// Creates a virtual device for the device in a virtual IOMMU. A device has one at a time.
    /// The corresponding request is `IOMMU_VDEVICE_ALLOC`.
    ///
    /// - Parameters:
    ///   - viommu: A virtual IOMMU on the IOMMU that the device is behind.
    ///   - number: The guest's ID of the device, such as its stream ID.
    /// - Throws: `.unsupported` with type1 and before Linux 6.13; `.busy` if the device already has a virtual device,
    ///   or the ID is in use; `.invalidArgument` for a virtual IOMMU of another iommufd or IOMMU.
    public func makeVirtualDevice(
        in viommu: borrowing VirtualIOMMU, number: UInt64
    ) throws(VFIOError) -> VirtualDevice {
        try bound(for: ABI.Call.makeVirtualDevice.operation("name the device in a virtual IOMMU")).makeVirtualDevice(
            in: viommu.object, number: number, of: core)
    }
}
