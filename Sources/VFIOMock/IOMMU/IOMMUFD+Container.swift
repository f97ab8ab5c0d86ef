internal import CVFIO
import SystemPackage
import VFIO

/// An iommufd used as a container: it answers the requests of type1 on one of its address spaces.
extension IOMMUFD {
    /// `vfio_compat.c`.
    func containerControl(_ request: UInt, _ argument: Argument) throws(Errno) -> Int {
        switch request {
        case CVFIO_GET_API_VERSION: return Int(CVFIO_API_VERSION)
        case CVFIO_CHECK_EXTENSION: return try hasExtension(argument.value) ? 1 : 0
        case CVFIO_SET_IOMMU: try chooseIOMMU(argument.value)
        case CVFIO_IOMMU_GET_INFO: try containerInfo(argument)
        case CVFIO_IOMMU_MAP_DMA: try containerMap(argument)
        case CVFIO_IOMMU_UNMAP_DMA: try containerUnmap(argument)
        default: throw .inappropriateIOCTLForDevice
        }
        return 0
    }

    /// A group uses it as its container.
    func becomeContainer(hasIOMMU: Bool) throws(Errno) {
        if !hasIOMMU {
            if containerSpace != nil { throw .invalidArgument }
            isNoIOMMUContainer = true
            return
        }
        if isNoIOMMUContainer { throw .invalidArgument }
        if containerSpace == nil { containerSpace = makeIOAS() }
    }

    private func space() throws(Errno) -> IOAS {
        guard let containerSpace else { throw .operationNotSupportedByDevice }
        return containerSpace
    }

    private func hasExtension(_ number: UInt) throws(Errno) -> Bool {
        switch number {
        case CVFIO_TYPE1_IOMMU, CVFIO_TYPE1v2_IOMMU, CVFIO_UNMAP_ALL: return !isNoIOMMUContainer
        case CVFIO_NOIOMMU_IOMMU: return iommu.release.hasUnsafeNoIOMMUMode
        // The IOMMU cannot enforce coherency, so it is reported only without page tables.
        case CVFIO_DMA_CC_IOMMU: return try space().tables.isEmpty
        default: return false
        }
    }

    private func chooseIOMMU(_ type: UInt) throws(Errno) {
        if isNoIOMMUContainer {
            guard type == CVFIO_NOIOMMU_IOMMU else { throw .invalidArgument }
            return
        }
        guard type == CVFIO_TYPE1_IOMMU || type == CVFIO_TYPE1v2_IOMMU else { throw .invalidArgument }
        let ioas = try space()
        // Version 1 can unmap part of a mapping, which large pages would prevent.
        if type == CVFIO_TYPE1_IOMMU { try ioas.setCombinesPages(false) }
    }

    private func containerInfo(_ argument: Argument) throws(Errno) {
        var info = try argument.loadSized(cvfio_iommu_type1_info(), argsz: 16)
        let size = MemoryLayout<cvfio_iommu_type1_info>.size
        let room = info.argsz
        let ioas = try space()
        info.flags = CVFIO_IOMMU_INFO_PGSIZES | CVFIO_IOMMU_INFO_CAPS
        // Without a page table every size from the alignment of mappings is usable.
        let sizes = ioas.translatingTableCount > 0 ? iommu.configuration.pageSizes : UInt64.max & ~0xfff
        info.iova_pgsizes = max(sizes, ioas.alignment)
        var chain = CapabilityChain()
        chain.append(id: CVFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, body: CapabilityChain.bytes([UInt32.max]))
        chain.append(ranges: ioas.usableRanges)
        info.cap_offset = try argument.store(chain, behind: size, argsz: room)
        info.argsz = UInt32(size + chain.bytes.count)
        try argument.store(info, min(Int(room), size))
    }

    private func containerMap(_ argument: Argument) throws(Errno) {
        let map = try argument.loadSized(cvfio_iommu_type1_dma_map())
        if map.flags & ~(CVFIO_DMA_MAP_FLAG_READ | CVFIO_DMA_MAP_FLAG_WRITE) != 0 { throw .invalidArgument }
        let ioas = try space()
        if map.vaddr.addingReportingOverflow(map.size).overflow { throw .overflow }
        if map.size == 0 || map.size > .max - 4096 { throw .invalidArgument }
        let isWritable = map.flags & CVFIO_DMA_MAP_FLAG_WRITE != 0
        let source = PageSource(.process(map.vaddr), byteCount: map.size, isWritable: isWritable, iommu.memory)
        _ = try ioas.map(
            [.init(source: source, offset: 0, byteCount: map.size)], byteCount: map.size, at: map.iova,
            isReadable: map.flags & CVFIO_DMA_MAP_FLAG_READ != 0, isWritable: isWritable)
    }

    private func containerUnmap(_ argument: Argument) throws(Errno) {
        var unmap = try argument.loadSized(cvfio_iommu_type1_dma_unmap())
        if unmap.flags & ~CVFIO_DMA_UNMAP_FLAG_ALL != 0 { throw .invalidArgument }
        let ioas = try space()
        let isAll = unmap.flags & CVFIO_DMA_UNMAP_FLAG_ALL != 0
        let last = unmap.iova.addingReportingOverflow(unmap.size &- 1)
        if isAll {
            if unmap.iova != 0 || unmap.size != 0 { throw .invalidArgument }
        } else if !ioas.combinesPages {
            if unmap.size > 0, !last.overflow { try ioas.cut(after: last.partialValue) }
            if unmap.iova > 0 { try ioas.cut(after: unmap.iova - 1) }
        }
        // From here on the size is what was unmapped, also when it fails.
        let byteCount = unmap.size
        unmap.size = 0
        var failure: Errno?
        do throws(Errno) {
            if isAll {
                try ioas.unmap(0, .max, counting: &unmap.size)
            } else {
                if byteCount == 0 { throw .invalidArgument }
                if last.overflow { throw .overflow }
                try ioas.unmap(unmap.iova, last.partialValue, counting: &unmap.size)
            }
        } catch { failure = error }
        try argument.store(unmap)
        if let failure { throw failure }
    }
}
