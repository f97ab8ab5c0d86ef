internal import CVFIO
import SystemPackage

/// The requests of a container that its driver answers.
extension Type1IOMMU {
    func control(_ request: UInt, _ argument: Argument) throws(Errno) -> Int {
        switch request {
        case CVFIO_IOMMU_GET_INFO: try info(argument)
        case CVFIO_IOMMU_MAP_DMA: try map(argument)
        case CVFIO_IOMMU_UNMAP_DMA: try unmap(argument)
        case CVFIO_IOMMU_DIRTY_PAGES: try dirtyPages(argument)
        default: throw .inappropriateIOCTLForDevice
        }
        return 0
    }

    private var follows6_1: Bool { system.release.follows6_1 }

    /// The errno for a range that wraps around.
    private var overflow: Errno { follows6_1 ? .invalidArgument : .overflow }

    private func info(_ argument: Argument) throws(Errno) {
        var info = try argument.loadSized(cvfio_iommu_type1_info(), argsz: 16)
        let size = MemoryLayout<cvfio_iommu_type1_info>.size
        let room = info.argsz
        info.flags = CVFIO_IOMMU_INFO_PGSIZES | CVFIO_IOMMU_INFO_CAPS
        // Without hardware every page size is usable.
        info.iova_pgsizes = hasDomain ? iommu.pageSizes : ~0xfff
        var chain = CapabilityChain(alignment: follows6_1 ? 1 : 8)
        let largestBitmap = UInt64(Int32.max) / 8 + 1
        chain.append(
            id: CVFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION,
            body: CapabilityChain.bytes([UInt64(0), iommu.granule, largestBitmap]))
        chain.append(id: CVFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, body: CapabilityChain.bytes([UInt32(available)]))
        if hasDomain { chain.append(ranges: iommu.usableRanges) }
        let offset = try argument.store(chain, behind: size, argsz: room)
        if offset > 0 { info.cap_offset = offset } else { info.argsz = UInt32(size + chain.bytes.count) }
        try argument.store(info, min(Int(room), size))
    }

    private func map(_ argument: Argument) throws(Errno) {
        let map = try argument.loadSized(cvfio_iommu_type1_dma_map())
        let known = CVFIO_DMA_MAP_FLAG_READ | CVFIO_DMA_MAP_FLAG_WRITE | CVFIO_DMA_MAP_FLAG_VADDR
        if map.flags & ~known != 0 { throw .invalidArgument }
        let last = try map.iova.last(of: map.size, wraps: overflow)
        _ = try map.vaddr.last(of: map.size, wraps: overflow)
        let isReadable = map.flags & CVFIO_DMA_MAP_FLAG_READ != 0
        let isWritable = map.flags & CVFIO_DMA_MAP_FLAG_WRITE != 0
        let setsAddress = map.flags & CVFIO_DMA_MAP_FLAG_VADDR != 0
        if (isReadable || isWritable) == setsAddress { throw .invalidArgument }
        if (map.size | map.iova | map.vaddr) & (iommu.granule - 1) != 0 { throw .invalidArgument }
        if setsAddress {
            guard let area = list.indices(touching: map.iova, last).first.map({ list.areas[$0] }) else {
                throw .noSuchFileOrDirectory
            }
            guard area.hasLostAddress, area.iova == map.iova, area.byteCount == map.size else {
                throw .invalidArgument
            }
            area.hasLostAddress = false
            return
        }
        if let refusal = refusal(map.iova, last) { throw refusal }
        let pinned =
            hasDomain
            ? try system.memory.pin(map.vaddr, map.size, writable: isWritable, allowsBARs: true) : PinnedMemory()
        try self.map(
            .init(
                iova: map.iova, byteCount: map.size, address: map.vaddr, isReadable: isReadable || follows6_1,
                isWritable: isWritable, pinned: pinned))
    }

    private func unmap(_ argument: Argument) throws(Errno) {
        let size = MemoryLayout<cvfio_iommu_type1_dma_unmap>.size
        var unmap = try argument.loadSized(cvfio_iommu_type1_dma_unmap())
        let wantsBitmap = unmap.flags & CVFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP != 0
        let isAll = unmap.flags & CVFIO_DMA_UNMAP_FLAG_ALL != 0
        let invalidates = unmap.flags & CVFIO_DMA_UNMAP_FLAG_VADDR != 0
        let known =
            CVFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP | CVFIO_DMA_UNMAP_FLAG_ALL | CVFIO_DMA_UNMAP_FLAG_VADDR
        if unmap.flags & ~known != 0 { throw .invalidArgument }
        if wantsBitmap && (isAll || invalidates) { throw .invalidArgument }
        var bitmap = unsafe cvfio_bitmap(pgsize: 0, size: 0, data: nil)
        if wantsBitmap {
            if unsafe Int(unmap.argsz) < size + MemoryLayout<cvfio_bitmap>.size { throw .invalidArgument }
            unsafe bitmap = try argument.load(bitmap, at: size)
            try unsafe checkBitmap(bitmap, unmap.size)
        }
        // Drivers of mediated devices may be using the addresses.
        if invalidates && hasEmulated { throw .resourceBusy }
        let mask = iommu.granule - 1
        if unmap.iova & mask != 0 { throw .invalidArgument }
        var last = UInt64.max
        if isAll {
            if unmap.iova != 0 || unmap.size != 0 { throw .invalidArgument }
        } else {
            if unmap.size & mask != 0 { throw .invalidArgument }
            last = try unmap.iova.last(of: unmap.size, wraps: overflow)
        }
        if wantsBitmap {
            guard isTrackingDirtyPages, unsafe bitmap.pgsize == iommu.granule else { throw .invalidArgument }
        }
        if invalidates {
            if isVersion2 && !isAll && splits(unmap.iova, last) { throw .invalidArgument }
            guard let count = invalidateAddresses(unmap.iova, last) else { throw .invalidArgument }
            unmap.size = count
        } else {
            let start = unmap.iova
            let count = try self.unmap(unmap.iova, last, isAll: isAll) { (area) throws(Errno) in
                if wantsBitmap { try unsafe setBits(bitmap, area, from: start) }
            }
            guard let count else { throw .invalidArgument }
            unmap.size = count
        }
        try argument.store(unmap)
    }

    // MARK: Dirty pages

    /// No device of the mock reports its writes, so every mapped page is dirty, as on most hardware.
    private func dirtyPages(_ argument: Argument) throws(Errno) {
        if !isVersion2 { throw .permissionDenied }
        let size = MemoryLayout<cvfio_iommu_type1_dirty_bitmap>.size
        let request = try argument.loadSized(cvfio_iommu_type1_dirty_bitmap())
        let known =
            CVFIO_IOMMU_DIRTY_PAGES_FLAG_START | CVFIO_IOMMU_DIRTY_PAGES_FLAG_STOP
            | CVFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP
        if request.flags & ~known != 0 || request.flags.nonzeroBitCount != 1 { throw .invalidArgument }
        if request.flags != CVFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP {
            isTrackingDirtyPages = request.flags == CVFIO_IOMMU_DIRTY_PAGES_FLAG_START
            return
        }
        if unsafe Int(request.argsz) - size < MemoryLayout<cvfio_iommu_type1_dirty_bitmap_get>.size {
            throw .invalidArgument
        }
        let range = unsafe try argument.load(cvfio_iommu_type1_dirty_bitmap_get(), at: size)
        let iova = unsafe range.iova
        let count = unsafe range.size
        let last = try iova.last(of: count, wraps: overflow)
        try unsafe checkBitmap(range.bitmap, count)
        guard unsafe range.bitmap.pgsize == iommu.granule, (iova | count) & (iommu.granule - 1) == 0,
            isTrackingDirtyPages, !splits(iova, last)
        else { throw .invalidArgument }
        for area in list.areas[list.indices(touching: iova, last)] {
            try unsafe setBits(range.bitmap, area, from: iova)
        }
    }

    private func checkBitmap(_ bitmap: cvfio_bitmap, _ byteCount: UInt64) throws(Errno) {
        let pageSize = unsafe bitmap.pgsize
        guard pageSize != 0 else { throw .invalidArgument }
        let pages = byteCount >> UInt64(pageSize.trailingZeroBitCount)
        let size = unsafe bitmap.size
        if pages == 0 || size == 0 || size > UInt64(Int32.max) / 8 + 1 || size < (pages + 63) / 64 * 8 {
            throw .invalidArgument
        }
    }

    private func setBits(_ bitmap: cvfio_bitmap, _ area: Area, from start: UInt64) throws(Errno) {
        let shift = unsafe UInt64(bitmap.pgsize.trailingZeroBitCount)
        let address = unsafe UInt64(UInt(bitPattern: bitmap.data))
        try UserMemory.setBits([(area.iova - start) >> shift...(area.last - start) >> shift], at: address)
    }
}
