internal import CVFIO
package import SystemPackage

// <linux/iommufd.h>: page tables, faults, and hardware information.
extension ABI {
    /// The properties of an IOMMU. The data are truncated to the available room.
    package typealias HardwareInfo = (type: UInt32, capabilities: UInt64, pasidBits: UInt8, data: [UInt8])

    /// The corresponding request is `IOMMU_GET_HW_INFO`.
    ///
    /// - Parameter type: The type of the data; `nil` for the kernel's choice.
    package static func getHardwareInfo(of device: UInt32, type: UInt32? = nil) -> some ABIRequest<HardwareInfo> {
        let room = RequestBuffer(byteCount: 256)
        var structure = ciommu_hw_info()
        structure.dev_id = device
        if let type {
            structure.flags = CIOMMU_HW_INFO_FLAG_INPUT_TYPE
            structure.in_data_type = type
        }
        structure.data_len = UInt32(room.byteCount)
        structure.data_uptr = room.address
        return Request(.getHardwareInfo, structure, pointingTo: room) { (info, _) in
            (
                info.out_data_type, info.out_capabilities, info.out_max_pasid_log2,
                Array(room.content.prefix(Int(info.data_len)))
            )
        }
    }

    /// The kernel's type number and the data that a page table or a virtual IOMMU is made from.
    package typealias TypedData = (type: UInt32, data: [UInt8])

    /// The corresponding request is `IOMMU_HWPT_ALLOC`.
    ///
    /// - Parameters:
    ///   - parent: An IOAS, a nesting parent page table, or a virtual IOMMU.
    ///   - faults: The queue for its faults.
    ///   - guest: The guest's part of a nested page table.
    package static func makePageTable(
        for device: UInt32, over parent: UInt32, flags: UInt32, faults: UInt32?, guest: TypedData? = nil
    ) -> some ABIRequest<UInt32> {
        let data = guest.map { RequestBuffer($0.data) }
        return Request(
            .makePageTable,
            ciommu_hwpt_alloc(
                size: 0, flags: flags | (faults == nil ? 0 : CIOMMU_HWPT_FAULT_ID_VALID), dev_id: device,
                pt_id: parent, out_hwpt_id: 0, __reserved: 0, data_type: guest?.type ?? CIOMMU_HWPT_DATA_NONE,
                data_len: UInt32(data?.byteCount ?? 0), data_uptr: data?.address ?? 0, fault_id: faults ?? 0,
                __reserved2: 0),
            pointingTo: data
        ) { (table, _) in table.out_hwpt_id }
    }

    /// The corresponding request is `IOMMU_HWPT_SET_DIRTY_TRACKING`.
    package static func setDirtyTracking(of table: UInt32, _ isOn: Bool) -> some ABIRequest<Void> {
        let flags = isOn ? CIOMMU_HWPT_DIRTY_TRACKING_ENABLE : 0
        return Request(
            .setDirtyTracking, ciommu_hwpt_set_dirty_tracking(size: 0, flags: flags, hwpt_id: table, __reserved: 0))
    }

    /// Returns which pages of a range were written, as words of a bitmap.
    /// The corresponding request is `IOMMU_HWPT_GET_DIRTY_BITMAP`.
    package static func getDirtyBitmap(
        of table: UInt32, _ iova: UInt64, byteCount: UInt64, pageSize: UInt64, keepsMarks: Bool
    ) -> some ABIRequest<[UInt64]> {
        let pages = DirtyPages(byteCount, pageSize)
        return Request(
            .getDirtyBitmap,
            ciommu_hwpt_get_dirty_bitmap(
                size: 0, hwpt_id: table, flags: keepsMarks ? CIOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR : 0, __reserved: 0,
                iova: iova, length: byteCount, page_size: pageSize, data: pages.room.address),
            pointingTo: pages.room
        ) { (_, _) in pages.words }
    }

    /// The number of entries handled, which the kernel also reports if it refuses the next one.
    package typealias InvalidationResult = (handledCount: Int, failure: Errno?)

    /// The corresponding request is `IOMMU_HWPT_INVALIDATE`.
    ///
    /// - Parameters:
    ///   - entries: All entries, concatenated.
    ///   - size: The size of an entry in bytes.
    package static func invalidate(
        _ object: UInt32, _ entries: TypedData, count: Int, size: Int,
        on file: borrowing some ControlledFile & ~Copyable
    ) -> InvalidationResult {
        let data = RequestBuffer(entries.data)
        var request = ciommu_hwpt_invalidate(
            size: UInt32(MemoryLayout<ciommu_hwpt_invalidate>.size), hwpt_id: object,
            data_uptr: count > 0 ? data.address : 0, data_type: entries.type,
            entry_len: UInt32(size), entry_num: UInt32(count), __reserved: 0)
        defer { withExtendedLifetime(data) {} }
        do throws(Errno) {
            _ = try file.kernel.control(file.descriptor, Call.invalidate.number, with: &request)
            return (Int(request.entry_num), nil)
        } catch {
            // A kernel that lacks the request has not changed the number, so no entry was handled.
            return (error == .inappropriateIOCTLForDevice ? 0 : min(Int(request.entry_num), count), error)
        }
    }

    /// An object of an iommufd that has its own descriptor.
    package typealias Queue = (id: UInt32, descriptor: FileDescriptor)

    /// The corresponding request is `IOMMU_FAULT_QUEUE_ALLOC`.
    package static func makeFaultQueue() -> some ABIRequest<Queue> {
        Request(.makeFaultQueue, ciommu_fault_alloc()) { (queue, _) in
            (queue.out_fault_id, FileDescriptor(rawValue: Int32(bitPattern: queue.out_fault_fd)))
        }
    }
}

// <linux/iommufd.h>: virtual IOMMUs.
extension ABI {
    /// Creates a virtual IOMMU, and returns its ID and the data as updated by the kernel.
    /// The corresponding request is `IOMMU_VIOMMU_ALLOC`.
    package static func makeVirtualIOMMU(
        for device: UInt32, over parent: UInt32, _ kind: TypedData
    ) -> some ABIRequest<(id: UInt32, data: RequestBuffer)> {
        let data = RequestBuffer(kind.data)
        return Request(
            .makeVirtualIOMMU,
            ciommu_viommu_alloc(
                size: 0, flags: 0, type: kind.type, dev_id: device, hwpt_id: parent, out_viommu_id: 0,
                data_len: UInt32(data.byteCount), __reserved: 0, data_uptr: data.byteCount > 0 ? data.address : 0),
            pointingTo: data
        ) { (viommu, _) in (viommu.out_viommu_id, data) }
    }

    /// Creates a virtual device for a device in a virtual IOMMU, and returns its ID.
    /// The corresponding request is `IOMMU_VDEVICE_ALLOC`.
    package static func makeVirtualDevice(
        _ device: UInt32, in viommu: UInt32, number: UInt64
    ) -> some ABIRequest<UInt32> {
        Request(
            .makeVirtualDevice,
            ciommu_vdevice_alloc(size: 0, viommu_id: viommu, dev_id: device, out_vdevice_id: 0, virt_id: number)
        ) { (device, _) in device.out_vdevice_id }
    }

    /// The corresponding request is `IOMMU_VEVENTQ_ALLOC`.
    package static func makeEventQueue(
        in viommu: UInt32, type: UInt32, depth: UInt32
    ) -> some ABIRequest<Queue> {
        Request(
            .makeEventQueue,
            ciommu_veventq_alloc(
                size: 0, flags: 0, viommu_id: viommu, type: type, veventq_depth: depth, out_veventq_id: 0,
                out_veventq_fd: 0, __reserved: 0)
        ) { (queue, _) in
            (queue.out_veventq_id, FileDescriptor(rawValue: Int32(bitPattern: queue.out_veventq_fd)))
        }
    }

    /// Lets the hardware read a queue in guest memory, and returns the queue's ID.
    /// The corresponding request is `IOMMU_HW_QUEUE_ALLOC`.
    package static func makeHardwareQueue(
        in viommu: UInt32, type: UInt32, index: UInt32, at iova: UInt64, byteCount: UInt64
    ) -> some ABIRequest<UInt32> {
        Request(
            .makeHardwareQueue,
            ciommu_hw_queue_alloc(
                size: 0, flags: 0, viommu_id: viommu, type: type, index: index, out_hw_queue_id: 0,
                nesting_parent_iova: iova, length: byteCount)
        ) { (queue, _) in queue.out_hw_queue_id }
    }
}
