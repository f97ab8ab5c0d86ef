internal import CVFIO
import SystemPackage

extension Core {
    func type1Control(_ iommu: Type1IOMMU, _ request: UInt, _ argument: Argument) throws(Errno) -> Int {
        switch request {
        case CVFIO_IOMMU_GET_INFO: try type1Info(iommu, argument)
        case CVFIO_IOMMU_MAP_DMA: try type1Map(iommu, argument)
        case CVFIO_IOMMU_UNMAP_DMA: try type1Unmap(iommu, argument)
        case CVFIO_IOMMU_DIRTY_PAGES: try type1DirtyPages(iommu, argument)
        default: throw .inappropriateIOCTLForDevice
        }
        return 0
    }

    private func type1Info(_ iommu: Type1IOMMU, _ argument: Argument) throws(Errno) {
        var info = try argument.load(cvfio_iommu_type1_info(), 16)
        if info.argsz < 16 { throw .invalidArgument }
        let size = MemoryLayout<cvfio_iommu_type1_info>.size
        let room = Int(info.argsz)
        info.flags = CVFIO_IOMMU_INFO_PGSIZES | CVFIO_IOMMU_INFO_CAPS
        // Without hardware any size will do.
        info.iova_pgsizes = iommu.hasDomain ? self.iommu.pageSizes : ~0xfff
        var chain = CapabilityChain(alignment: isOld ? 1 : 8)
        let largestBitmap = UInt64(Int32.max) / 8 + 1
        chain.append(
            id: CVFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION,
            body: CapabilityChain.bytes([UInt64(0), self.iommu.granule, largestBitmap]))
        chain.append(
            id: CVFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, body: CapabilityChain.bytes([UInt32(iommu.available)]))
        if iommu.hasDomain {
            let ranges = self.iommu.usableRanges
            chain.append(
                id: CVFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
                body: CapabilityChain.bytes(
                    [UInt32(ranges.count), UInt32(0)] + ranges.flatMap { [$0.lowerBound, $0.upperBound] }))
        }
        if room < size + chain.bytes.count {
            info.argsz = UInt32(size + chain.bytes.count)
        } else {
            try argument.store(bytes: chain.placed(at: size), at: size)
            info.cap_offset = UInt32(size)
        }
        try argument.store(info, min(room, size))
    }

    private func type1Map(_ iommu: Type1IOMMU, _ argument: Argument) throws(Errno) {
        let size = MemoryLayout<cvfio_iommu_type1_dma_map>.size
        let map = try argument.load(cvfio_iommu_type1_dma_map())
        let known = CVFIO_DMA_MAP_FLAG_READ | CVFIO_DMA_MAP_FLAG_WRITE | CVFIO_DMA_MAP_FLAG_VADDR
        if Int(map.argsz) < size || map.flags & ~known != 0 { throw .invalidArgument }
        if map.size == 0 { throw .invalidArgument }
        let (last, wraps) = map.iova.addingReportingOverflow(map.size - 1)
        if wraps || map.vaddr.addingReportingOverflow(map.size - 1).overflow {
            throw isOld ? .invalidArgument : .overflow
        }
        let isReadable = map.flags & CVFIO_DMA_MAP_FLAG_READ != 0
        let isWritable = map.flags & CVFIO_DMA_MAP_FLAG_WRITE != 0
        let setsAddress = map.flags & CVFIO_DMA_MAP_FLAG_VADDR != 0
        if (isReadable || isWritable) == setsAddress { throw .invalidArgument }
        if (map.size | map.iova | map.vaddr) & (self.iommu.granule - 1) != 0 { throw .invalidArgument }
        if setsAddress {
            guard let area = iommu.list.indices(touching: map.iova, last).first.map({ iommu.list.areas[$0] }) else {
                throw .noSuchFileOrDirectory
            }
            guard area.hasLostAddress, area.iova == map.iova, area.byteCount == map.size else {
                throw .invalidArgument
            }
            area.hasLostAddress = false
            return
        }
        if let refusal = iommu.refusal(map.iova, last) { throw refusal }
        var pinned = PinnedMemory()
        if iommu.hasDomain {
            pinned = try pin(map.vaddr, map.size, writable: isWritable, allowsBARs: true)
            try checkLockLimit(adding: pinned.accountedByteCount)
        }
        iommu.map(
            .init(
                iova: map.iova, byteCount: map.size, address: map.vaddr, isReadable: isReadable || isOld,
                isWritable: isWritable,
                pinned: pinned))
    }

    private func type1Unmap(_ iommu: Type1IOMMU, _ argument: Argument) throws(Errno) {
        let size = MemoryLayout<cvfio_iommu_type1_dma_unmap>.size
        var unmap = try argument.load(cvfio_iommu_type1_dma_unmap())
        let wantsBitmap = unmap.flags & CVFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP != 0
        let isAll = unmap.flags & CVFIO_DMA_UNMAP_FLAG_ALL != 0
        let invalidates = unmap.flags & CVFIO_DMA_UNMAP_FLAG_VADDR != 0
        let known =
            CVFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP | CVFIO_DMA_UNMAP_FLAG_ALL | CVFIO_DMA_UNMAP_FLAG_VADDR
        if Int(unmap.argsz) < size || unmap.flags & ~known != 0 { throw .invalidArgument }
        if wantsBitmap && (isAll || invalidates) { throw .invalidArgument }
        var bitmap = unsafe cvfio_bitmap(pgsize: 0, size: 0, data: nil)
        if wantsBitmap {
            if unsafe Int(unmap.argsz) < size + MemoryLayout<cvfio_bitmap>.size { throw .invalidArgument }
            unsafe bitmap = try argument.load(bitmap, at: size)
            try unsafe checkBitmap(bitmap, unmap.size)
        }
        // The drivers of mediated devices may be using the addresses.
        if invalidates && iommu.hasEmulated { throw .resourceBusy }
        let mask = self.iommu.granule - 1
        if unmap.iova & mask != 0 { throw .invalidArgument }
        var last = UInt64.max
        if isAll {
            if unmap.iova != 0 || unmap.size != 0 { throw .invalidArgument }
        } else {
            if unmap.size == 0 || unmap.size & mask != 0 { throw .invalidArgument }
            let sum = unmap.iova.addingReportingOverflow(unmap.size - 1)
            if sum.overflow { throw isOld ? .invalidArgument : .overflow }
            last = sum.partialValue
        }
        if wantsBitmap {
            guard iommu.isTrackingDirtyPages, unsafe bitmap.pgsize == self.iommu.granule else { throw .invalidArgument }
        }
        if invalidates {
            if iommu.isVersion2 && !isAll && iommu.splits(unmap.iova, last) { throw .invalidArgument }
            guard let count = iommu.invalidateAddresses(unmap.iova, last) else { throw .invalidArgument }
            unmap.size = count
        } else {
            let start = unmap.iova
            let count = iommu.unmap(unmap.iova, last, isAll: isAll) { area in
                if wantsBitmap { unsafe self.setBits(bitmap, area, from: start) }
            }
            guard let count else { throw .invalidArgument }
            unmap.size = count
        }
        try argument.store(unmap)
    }

    // MARK: Dirty pages

    /// No device of the mock tells which pages it writes, so, as on most hardware, each page that is mapped is dirty.
    private func type1DirtyPages(_ iommu: Type1IOMMU, _ argument: Argument) throws(Errno) {
        if !iommu.isVersion2 { throw .permissionDenied }
        let size = MemoryLayout<cvfio_iommu_type1_dirty_bitmap>.size
        let request = try argument.load(cvfio_iommu_type1_dirty_bitmap())
        let known =
            CVFIO_IOMMU_DIRTY_PAGES_FLAG_START | CVFIO_IOMMU_DIRTY_PAGES_FLAG_STOP
            | CVFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP
        if Int(request.argsz) < size || request.flags & ~known != 0 || request.flags.nonzeroBitCount != 1 {
            throw .invalidArgument
        }
        if request.flags == CVFIO_IOMMU_DIRTY_PAGES_FLAG_START {
            iommu.isTrackingDirtyPages = true
            return
        }
        if request.flags == CVFIO_IOMMU_DIRTY_PAGES_FLAG_STOP {
            iommu.isTrackingDirtyPages = false
            return
        }
        if unsafe Int(request.argsz) - size < MemoryLayout<cvfio_iommu_type1_dirty_bitmap_get>.size {
            throw .invalidArgument
        }
        let range = unsafe try argument.load(cvfio_iommu_type1_dirty_bitmap_get(), at: size)
        let iova = unsafe range.iova
        let count = unsafe range.size
        if count == 0 { throw .invalidArgument }
        let (last, wraps) = iova.addingReportingOverflow(count - 1)
        if wraps { throw isOld ? .invalidArgument : .overflow }
        try unsafe checkBitmap(range.bitmap, count)
        guard unsafe range.bitmap.pgsize == self.iommu.granule, (iova | count) & (self.iommu.granule - 1) == 0,
            iommu.isTrackingDirtyPages, !iommu.splits(iova, last)
        else { throw .invalidArgument }
        for area in iommu.list.areas[iommu.list.indices(touching: iova, last)] {
            unsafe setBits(range.bitmap, area, from: iova)
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

    private func setBits(_ bitmap: cvfio_bitmap, _ area: Type1IOMMU.Area, from start: UInt64) {
        guard let data = unsafe bitmap.data else { return }
        let shift = unsafe UInt64(bitmap.pgsize.trailingZeroBitCount)
        for page in (area.iova - start) >> shift...(area.last - start) >> shift {
            unsafe data[Int(page / 64)] |= 1 << (page % 64)
        }
    }
}
