package import CVFIO
package import SystemPackage

// <linux/vfio.h>: the container and its groups.
extension ABI {
    /// The corresponding request is `VFIO_GET_API_VERSION`.
    package static func getAPIVersion() -> some ABIRequest<Int> { ValueRequest(.getAPIVersion) { $0 } }

    /// The corresponding request is `VFIO_CHECK_EXTENSION`.
    package static func checkExtension(_ number: UInt) -> some ABIRequest<Bool> {
        ValueRequest(.checkExtension, number) { $0 > 0 }
    }

    /// The corresponding request is `VFIO_SET_IOMMU`.
    package static func setIOMMU(_ type: UInt) -> some ABIRequest<Void> { ValueRequest(.setIOMMU, type) }

    /// Returns whether no device of the group is bound to a kernel driver that does DMA.
    /// The corresponding request is `VFIO_GROUP_GET_STATUS`.
    package static func isGroupViable() -> some ABIRequest<Bool> {
        Request(.getGroupStatus, cvfio_group_status()) { (status, _) in status.flags & CVFIO_GROUP_FLAGS_VIABLE != 0 }
    }

    /// The corresponding request is `VFIO_GROUP_SET_CONTAINER`.
    package static func setContainer(_ container: FileDescriptor) -> some ABIRequest<Void> {
        Request(.setContainer, container.rawValue)
    }

    /// Opens a device of the group, by its name and optional arguments after it.
    /// The corresponding request is `VFIO_GROUP_GET_DEVICE_FD`.
    package static func getGroupDevice(_ name: String) -> some ABIRequest<FileDescriptor> {
        TailedRequest(.getGroupDevice, name.utf8 + [0]) { (_, result) in
            FileDescriptor(rawValue: Int32(truncatingIfNeeded: result))
        }
    }
}

// <linux/vfio.h>: the type1 IOMMU, a container's mappings.
extension ABI {
    /// The corresponding request is `VFIO_IOMMU_GET_INFO`.
    package static func getType1Info() -> GrowingRequest<InfoAnswer<cvfio_iommu_type1_info>> {
        info(.getType1Info, cvfio_iommu_type1_info()) { $0.flags & CVFIO_IOMMU_INFO_CAPS != 0 ? $0.cap_offset : 0 }
    }

    /// The corresponding request is `VFIO_IOMMU_MAP_DMA`.
    @inline(__always)
    package static func mapDMA(
        _ memory: UnsafeRawBufferPointer, at iova: UInt64, isReadable: Bool, isWritable: Bool
    ) -> PlainRequest<cvfio_iommu_type1_dma_map> {
        unsafe mapDMA(
            memory, at: iova,
            (isReadable ? CVFIO_DMA_MAP_FLAG_READ : 0) | (isWritable ? CVFIO_DMA_MAP_FLAG_WRITE : 0))
    }

    /// Sets the current process address of a mapping. The corresponding request is `VFIO_IOMMU_MAP_DMA`.
    package static func updateVaddr(
        _ memory: UnsafeRawBufferPointer, at iova: UInt64
    ) -> PlainRequest<cvfio_iommu_type1_dma_map> { unsafe mapDMA(memory, at: iova, CVFIO_DMA_MAP_FLAG_VADDR) }

    @inline(__always)
    private static func mapDMA(
        _ memory: UnsafeRawBufferPointer, at iova: UInt64, _ flags: UInt32
    ) -> PlainRequest<cvfio_iommu_type1_dma_map> {
        PlainRequest(
            .mapDMA,
            cvfio_iommu_type1_dma_map(
                argsz: 0, flags: flags, vaddr: UInt64(UInt(bitPattern: memory.baseAddress)), iova: iova,
                size: UInt64(memory.count)))
    }

    /// Unmaps a range, or only invalidates the process addresses of its mappings; `size` is the answer.
    /// The corresponding request is `VFIO_IOMMU_UNMAP_DMA`.
    @inline(__always)
    package static func unmapDMA(
        _ iova: UInt64, byteCount: UInt64, isAddressOnly: Bool = false
    ) -> PlainRequest<cvfio_iommu_type1_dma_unmap> {
        PlainRequest(
            .unmapDMA,
            cvfio_iommu_type1_dma_unmap(
                argsz: 0, flags: isAddressOnly ? CVFIO_DMA_UNMAP_FLAG_VADDR : 0, iova: iova, size: byteCount))
    }

    /// Unmaps a range, and returns which of its pages were written until then.
    /// The corresponding request is `VFIO_IOMMU_UNMAP_DMA`.
    package static func unmapDMA(
        _ iova: UInt64, byteCount: UInt64, readingPagesOf pageSize: UInt64
    ) -> some ABIRequest<(byteCount: UInt64, words: [UInt64])> {
        let pages = DirtyPages(byteCount, pageSize)
        let header = cvfio_iommu_type1_dma_unmap(
            argsz: 0, flags: CVFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP, iova: iova, size: byteCount)
        return TailedRequest(.unmapDMA, bytes([header]) + bytes(pages.fields), pointingTo: pages.room) { (answer, _) in
            (answer.header(cvfio_iommu_type1_dma_unmap.self).size, pages.words)
        }
    }

    /// The corresponding request is `VFIO_IOMMU_DIRTY_PAGES`.
    package static func trackDirtyPages(_ isOn: Bool) -> some ABIRequest<Void> {
        Request(
            .trackDirtyPages,
            cvfio_iommu_type1_dirty_bitmap(
                argsz: 0, flags: isOn ? CVFIO_IOMMU_DIRTY_PAGES_FLAG_START : CVFIO_IOMMU_DIRTY_PAGES_FLAG_STOP))
    }

    /// Returns which pages of a range were written, as words of a bitmap.
    /// The corresponding request is `VFIO_IOMMU_DIRTY_PAGES`.
    package static func readDirtyPages(_ iova: UInt64, byteCount: UInt64, pageSize: UInt64) -> some ABIRequest<[UInt64]>
    {
        let pages = DirtyPages(byteCount, pageSize)
        let header = cvfio_iommu_type1_dirty_bitmap(argsz: 0, flags: CVFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP)
        let content = bytes([header]) + bytes([iova, byteCount] + pages.fields)
        return TailedRequest(.trackDirtyPages, content, pointingTo: pages.room) { (_, _) in pages.words }
    }

    /// The memory that the kernel writes a bitmap of dirty pages to.
    internal struct DirtyPages {
        let room: RequestBuffer
        private let pageCount: Int
        /// The members of a `vfio_bitmap`.
        let fields: [UInt64]

        /// - Parameter byteCount: The size of the range: a multiple of the page size, and not 0.
        init(_ byteCount: UInt64, _ pageSize: UInt64) {
            pageCount = Int(byteCount / pageSize)
            room = RequestBuffer(byteCount: (pageCount + 63) / 64 * 8)
            fields = [pageSize, UInt64(room.byteCount), room.address]
        }

        /// The bitmap from the kernel: one bit per page, from the lowest bit of the first word, without bits beyond the
        /// last page.
        var words: [UInt64] {
            var words = (0..<room.byteCount / 8).map { room.load(UInt64.self, at: $0 * 8) ?? 0 }
            if pageCount % 64 != 0 { words[words.count - 1] &= (1 << UInt64(pageCount % 64)) - 1 }
            return words
        }
    }
}
