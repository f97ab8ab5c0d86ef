internal import Synchronization
internal import SystemPackage

extension Device {
    /// Returns the type and capabilities of the IOMMU behind the device.
    /// The corresponding request is `IOMMU_GET_HW_INFO`.
    ///
    /// - Throws: `.unsupported` with type1, and before Linux 6.6.
    public func iommuHardware() throws(VFIOError) -> IOMMUHardware {
        try bound(for: ABI.Call.getHardwareInfo.operation("ask what the IOMMU is")).hardware()
    }

    /// Returns the same, with the data of one type: an IOMMU may have several, as an SMMUv3 with an extension has.
    /// The corresponding request is `IOMMU_GET_HW_INFO`.
    ///
    /// - Throws: `.unsupported` with type1, before Linux 6.17, and if the IOMMU has no data of the type.
    public func iommuHardware(_ type: IOMMUHardware.DataType) throws(VFIOError) -> IOMMUHardware {
        try bound(for: ABI.Call.getHardwareInfo.operation("ask what the IOMMU is")).hardware(type)
    }

    /// Makes a page table for this device and others behind the same IOMMU.
    /// The corresponding request is `IOMMU_HWPT_ALLOC`.
    ///
    /// - Parameters:
    ///   - space: The address space whose mappings the page table contains, of the same iommufd; `nil` for the device's
    ///     own.
    ///   - options: Capabilities beyond translation.
    /// - Throws: `.unsupported` with type1, and for options that the IOMMU lacks; `.invalidArgument` for an address
    ///   space of another iommufd.
    public func makePageTable(
        of space: AddressSpace? = nil, options: HardwarePageTable.Options = []
    ) throws(VFIOError) -> HardwarePageTable {
        try bound(for: BoundDevice.hwptAllocOperation).makePageTable(of: space, options: options, faults: nil)
    }

    /// Makes a page table whose faults the process handles while the queue is open.
    /// The corresponding request is `IOMMU_HWPT_ALLOC`.
    ///
    /// - Throws: As the other overload; `.unsupported` before Linux 6.11. Whether the device supports page requests
    ///   (PRI) is checked when it is attached.
    public func makePageTable(
        of space: AddressSpace? = nil, options: HardwarePageTable.Options = [], faults: borrowing FaultQueue
    ) throws(VFIOError) -> HardwarePageTable {
        try bound(for: BoundDevice.hwptAllocOperation).makePageTable(of: space, options: options, faults: faults.object)
    }

    // MARK: Attachment

    /// Directs the device's DMA to a page table, instead of its previous attachment.
    /// The corresponding request is `VFIO_DEVICE_ATTACH_IOMMUFD_PT`.
    ///
    /// The page table stays open while a device is attached to it.
    ///
    /// - Throws: `.unsupported` with type1; `.invalidArgument` for a page table of another iommufd; `.kernel` if the
    ///   device cannot use it, and keeps its attachment.
    public func attach(to table: borrowing HardwarePageTable) throws(VFIOError) { try attach(to: table.object) }

    package func attach(to table: IOMMUFDObject) throws(VFIOError) {
        let words = "attach the device to a page table"
        let operation = ABI.Call.attachDevice.operation(words)
        try bound(for: operation).require(table, operation)
        try attach(table.id, .table(table), words)
        // The device's reserved ranges now apply to the address space behind the page table.
        try table.space.refresh()
    }

    /// Directs the device's DMA to another address space. The corresponding request is `VFIO_DEVICE_ATTACH_IOMMUFD_PT`.
    ///
    /// ``space`` remains the one that the device was opened into.
    ///
    /// - Parameter other: An address space of the same iommufd: ``AddressSpace/makeSibling()``.
    /// - Throws: As for a page table.
    public func attach(to other: AddressSpace) throws(VFIOError) {
        let words = "attach the device to an address space"
        let operation = ABI.Call.attachDevice.operation(words)
        try attach(try bound(for: operation).number(of: other, operation), .space(other), words)
        // The device may have narrowed the usable IOVA ranges.
        try other.refresh()
    }

    /// Blocks the device's DMA until it is attached again.
    /// The corresponding request is `VFIO_DEVICE_DETACH_IOMMUFD_PT`.
    ///
    /// - Throws: `.unsupported` with type1.
    public func detach() throws(VFIOError) {
        let words = "detach the device"
        _ = try bound(for: ABI.Call.detachDevice.operation(words))
        try core.changeAttachment(to: nil) { () throws(VFIOError) in
            try ABI.detachDevice().perform(on: core, words, "\(address)")
        }
    }

    /// Directs the DMA with a PASID of the device to a page table, instead of the PASID's previous attachment
    /// (`VFIO_DEVICE_ATTACH_PASID`). The corresponding request is `VFIO_DEVICE_ATTACH_IOMMUFD_PT`.
    ///
    /// The page table stays open until ``detach(pasid:)``, or until the device is closed. While any PASID is attached,
    /// the device itself must be attached to a page table made for PASIDs (``HardwarePageTable/Options/pasid``), or to
    /// nothing.
    ///
    /// - Parameters:
    ///   - table: A page table made with ``HardwarePageTable/Options/pasid``.
    ///   - pasid: 1 to 1048575. 0 stands for DMA without a PASID and is refused.
    /// - Throws: `.outOfRange` for the PASID; `.unsupported` with type1, before Linux 6.15, and if the device or the
    ///   page table does not support PASIDs.
    public func attach(to table: borrowing HardwarePageTable, pasid: UInt32) throws(VFIOError) {
        try attach(to: table.object, pasid: pasid)
    }

    package func attach(to table: IOMMUFDObject, pasid: UInt32) throws(VFIOError) {
        let words = "attach a PASID to a page table"
        let operation = ABI.Call.attachDevice.operation(words)
        try bound(for: operation).require(table, operation)
        try requirePASID(pasid, operation)
        try core.changeTable(of: pasid, to: table) { () throws(VFIOError) in
            try ABI.attachDevice(to: table.id, pasid: pasid).perform(
                on: core, words, "PASID \(pasid) of \(address)",
                lacking: "the device has to have PASIDs, and this page table and that of the device itself to be made "
                    + "for them")
        }
    }

    /// Blocks the DMA with a PASID of the device (`VFIO_DEVICE_DETACH_PASID`); no effect if it is not attached.
    /// The corresponding request is `VFIO_DEVICE_DETACH_IOMMUFD_PT`.
    ///
    /// - Throws: `.outOfRange` for the PASID; `.unsupported` with type1, before Linux 6.15, and for devices without
    ///   PASIDs.
    public func detach(pasid: UInt32) throws(VFIOError) {
        let words = "detach a PASID"
        let operation = ABI.Call.detachDevice.operation(words)
        _ = try bound(for: operation)
        try requirePASID(pasid, operation)
        try core.changeTable(of: pasid, to: nil) { () throws(VFIOError) in
            try ABI.detachDevice(pasid: pasid).perform(
                on: core, words, "PASID \(pasid) of \(address)",
                lacking: "the kernel (Linux 6.15) or the device has no PASIDs")
        }
    }

    /// Refuses a PASID outside of 1 to 2^20-1. The kernel takes 0 for the device itself, which would bypass the
    /// recorded attachment.
    private func requirePASID(_ pasid: UInt32, _ operation: String) throws(VFIOError) {
        guard (1..<1 << 20).contains(pasid) else {
            throw VFIOError(
                .outOfRange, operation, "PASID \(pasid) of \(address)", hint: "a PASID is one of 1 to \(1 << 20 - 1)")
        }
    }

    private func attach(_ id: UInt32, _ attachment: DeviceCore.Attachment, _ words: String) throws(VFIOError) {
        try core.changeAttachment(to: attachment) { () throws(VFIOError) in
            try ABI.attachDevice(to: id).perform(
                on: core, words, "\(address)",
                refusals: [.addressInUse: (.kernel, "addresses that are mapped there are reserved for this device")])
        }
    }

    // MARK: -

    /// The device as bound to its iommufd.
    package func bound(for operation: String) throws(VFIOError) -> BoundDevice {
        let context = try space.requireIOMMUFD(for: operation)
        guard let id = core.iommufdNumber else {
            throw VFIOError(.unsupported, operation, "\(address)", hint: "the device is not bound to an iommufd")
        }
        return BoundDevice(id, in: space, context.file, name: "\(address)")
    }
}

extension DeviceCore {
    /// Attaches or detaches the device and records it, under a lock so that the record matches the kernel's state.
    fileprivate func changeAttachment(
        to new: DeviceCore.Attachment?, _ body: () throws(VFIOError) -> Void
    ) throws(VFIOError) {
        let old = try attachment.withLock { (current) throws(VFIOError) in
            try body()
            defer { current = new }
            return current
        }
        // The previous attachment may close here, so this happens outside of the lock.
        _ = old
    }

    /// Does the same for a PASID of the device.
    fileprivate func changeTable(
        of pasid: UInt32, to new: IOMMUFDObject?, _ body: () throws(VFIOError) -> Void
    ) throws(VFIOError) {
        let old = try pasidTables.withLock { (tables) throws(VFIOError) in
            try body()
            defer { tables[pasid] = new }
            return tables[pasid]
        }
        _ = old
    }
}
