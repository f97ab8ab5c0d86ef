internal import CVFIO
import SystemPackage
import VFIO

/// An iommufd in the place of a container: it answers the requests of type1, on one of its address spaces.
extension Core {
    /// The requests of `/dev/vfio/vfio`, as `vfio_compat.c` answers them.
    func iommufdContainerControl(_ iommufd: IOMMUFD, _ request: UInt, _ argument: Argument) throws(Errno) -> Int {
        switch request {
        case CVFIO_GET_API_VERSION: return Int(CVFIO_API_VERSION)
        case CVFIO_CHECK_EXTENSION: return try hasContainerExtension(iommufd, argument.value) ? 1 : 0
        case CVFIO_SET_IOMMU: try chooseContainerIOMMU(iommufd, argument.value)
        case CVFIO_IOMMU_GET_INFO: try containerInfo(iommufd, argument)
        case CVFIO_IOMMU_MAP_DMA: try containerMap(iommufd, argument)
        case CVFIO_IOMMU_UNMAP_DMA: try containerUnmap(iommufd, argument)
        default: throw .inappropriateIOCTLForDevice
        }
        return 0
    }

    /// A group takes an iommufd as its container.
    func joinIOMMUFD(_ iommufd: IOMMUFD, _ group: VFIOGroup) throws(Errno) {
        if !group.hasIOMMU {
            if iommufd.containerSpace != nil { throw .invalidArgument }
            iommufd.isContainerUnprotected = true
            return
        }
        if iommufd.isContainerUnprotected { throw .invalidArgument }
        if iommufd.containerSpace == nil {
            let ioas = IOAS(id: iommufd.nextID, iommu: iommu)
            iommufd.add(.ioas(ioas), ioas.id)
            iommufd.containerSpace = ioas.id
        }
    }

    private func space(_ iommufd: IOMMUFD) throws(Errno) -> IOAS {
        guard let id = iommufd.containerSpace else { throw .operationNotSupportedByDevice }
        return try iommufd.ioas(id)
    }

    private func hasContainerExtension(_ iommufd: IOMMUFD, _ number: UInt) throws(Errno) -> Bool {
        switch number {
        case CVFIO_TYPE1_IOMMU, CVFIO_TYPE1v2_IOMMU, CVFIO_UNMAP_ALL: return !iommufd.isContainerUnprotected
        case CVFIO_NOIOMMU_IOMMU: return release.hasUnsafeNoIOMMUMode
        // The IOMMU cannot enforce it, so no page table has it; where there is none, all of them do.
        case CVFIO_DMA_CC_IOMMU: return iommufd.tables(of: try space(iommufd)).isEmpty
        default: return false
        }
    }

    private func chooseContainerIOMMU(_ iommufd: IOMMUFD, _ type: UInt) throws(Errno) {
        if iommufd.isContainerUnprotected {
            guard type == CVFIO_NOIOMMU_IOMMU else { throw .invalidArgument }
            return
        }
        guard type == CVFIO_TYPE1_IOMMU || type == CVFIO_TYPE1v2_IOMMU else { throw .invalidArgument }
        let ioas = try space(iommufd)
        // Version 1 can unmap the middle of a mapping, which large pages would not let it.
        if type == CVFIO_TYPE1_IOMMU { try ioas.setCombinesPages(false) }
    }

    private func containerInfo(_ iommufd: IOMMUFD, _ argument: Argument) throws(Errno) {
        var info = try argument.load(cvfio_iommu_type1_info(), 16)
        if info.argsz < 16 { throw .invalidArgument }
        let size = MemoryLayout<cvfio_iommu_type1_info>.size
        let room = Int(info.argsz)
        let ioas = try space(iommufd)
        info.flags = CVFIO_IOMMU_INFO_PGSIZES | CVFIO_IOMMU_INFO_CAPS
        // Without a page table every size will do, down to the alignment of mappings.
        let sizes = ioas.translatingTableCount > 0 ? iommu.pageSizes : UInt64.max & ~0xfff
        info.iova_pgsizes = max(sizes, ioas.alignment)
        var chain = CapabilityChain()
        chain.append(id: CVFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, body: CapabilityChain.bytes([UInt32.max]))
        let ranges = ioas.usableRanges
        chain.append(
            id: CVFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
            body: CapabilityChain.bytes(
                [UInt32(ranges.count), UInt32(0)] + ranges.flatMap { [$0.lowerBound, $0.upperBound] }))
        info.cap_offset = 0
        if room >= size + chain.bytes.count {
            try argument.store(bytes: chain.placed(at: size), at: size)
            info.cap_offset = UInt32(size)
        }
        info.argsz = UInt32(size + chain.bytes.count)
        try argument.store(info, min(room, size))
    }

    private func containerMap(_ iommufd: IOMMUFD, _ argument: Argument) throws(Errno) {
        let map = try argument.load(cvfio_iommu_type1_dma_map())
        let known = CVFIO_DMA_MAP_FLAG_READ | CVFIO_DMA_MAP_FLAG_WRITE
        if Int(map.argsz) < MemoryLayout<cvfio_iommu_type1_dma_map>.size || map.flags & ~known != 0 {
            throw .invalidArgument
        }
        let ioas = try space(iommufd)
        if map.vaddr.addingReportingOverflow(map.size).overflow { throw .overflow }
        if map.size == 0 || map.size > .max - 4096 { throw .invalidArgument }
        let isWritable = map.flags & CVFIO_DMA_MAP_FLAG_WRITE != 0
        let source = PageSource(.process(map.vaddr), byteCount: map.size, isWritable: isWritable)
        _ = try ioas.map(
            [.init(source: source, offset: 0, byteCount: map.size)], byteCount: map.size, at: map.iova,
            isReadable: map.flags & CVFIO_DMA_MAP_FLAG_READ != 0, isWritable: isWritable, self)
    }

    private func containerUnmap(_ iommufd: IOMMUFD, _ argument: Argument) throws(Errno) {
        var unmap = try argument.load(cvfio_iommu_type1_dma_unmap())
        if Int(unmap.argsz) < MemoryLayout<cvfio_iommu_type1_dma_unmap>.size
            || unmap.flags & ~CVFIO_DMA_UNMAP_FLAG_ALL != 0
        {
            throw .invalidArgument
        }
        let ioas = try space(iommufd)
        if unmap.flags & CVFIO_DMA_UNMAP_FLAG_ALL != 0 {
            if unmap.iova != 0 || unmap.size != 0 { throw .invalidArgument }
            unmap.size = try ioas.unmap(0, .max, self)
        } else {
            let last = unmap.iova.addingReportingOverflow(unmap.size &- 1)
            if !ioas.combinesPages {
                if unmap.size > 0, !last.overflow { try ioas.cut(after: last.partialValue) }
                if unmap.iova > 0 { try ioas.cut(after: unmap.iova - 1) }
            }
            if unmap.size == 0 { throw .invalidArgument }
            if last.overflow { throw .overflow }
            unmap.size = try ioas.unmap(unmap.iova, last.partialValue, self)
        }
        try argument.store(unmap)
    }
}
