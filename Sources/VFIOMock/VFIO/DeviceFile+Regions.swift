internal import CVFIO
import SystemPackage
import VFIO

extension DeviceFile {
    /// The upper bits of an offset are the region.
    static func offset(of region: UInt32) -> UInt64 { UInt64(region) << 40 }

    // MARK: Access

    /// How much of an access needs a copy: no more than the region has, and one byte that makes it too long.
    func usableCount(_ count: Int, at offset: UInt64) -> Int {
        let index = UInt32(truncatingIfNeeded: min(offset >> 40, UInt64(UInt32.max)))
        switch index {
        case CVFIO_PCI_CONFIG_REGION_INDEX: return min(count, function.config.byteCount + 1)
        case CVFIO_PCI_BAR0_REGION_INDEX...CVFIO_PCI_BAR5_REGION_INDEX, CVFIO_PCI_NUM_REGIONS..<function.regionCount:
            return min(count, Int(function.regionSize(Int(index))) + 1)
        default: return min(count, 1)
        }
    }

    /// `pread` and `pwrite`. Returns the number of bytes.
    func access(_ offset: UInt64, _ bytes: inout [UInt8], isWrite: Bool) throws(Errno) -> Int {
        if bytes.isEmpty { return 0 }
        let index = UInt32(truncatingIfNeeded: min(offset >> 40, UInt64(UInt32.max)))
        let position = Int(offset & (1 << 40 - 1))
        guard index < function.regionCount else { throw .invalidArgument }
        function.wake()
        switch index {
        case CVFIO_PCI_CONFIG_REGION_INDEX: return try accessConfig(position, &bytes, isWrite: isWrite)
        case CVFIO_PCI_BAR0_REGION_INDEX...CVFIO_PCI_BAR5_REGION_INDEX, CVFIO_PCI_NUM_REGIONS...:
            return try accessBAR(Int(index), position, &bytes, isWrite: isWrite)
        default: throw .invalidArgument
        }
    }

    private func accessBAR(_ bar: Int, _ position: Int, _ bytes: inout [UInt8], isWrite: Bool) throws(Errno) -> Int {
        let size = Int(function.regionSize(bar))
        guard position < size else { throw .invalidArgument }
        let count = min(bytes.count, size - position)
        // The MSI-X table is hidden: it reads as ones, and writes are dropped.
        let table = function.pci.msix.flatMap { $0.bar == bar ? $0.table : nil } ?? 0..<0
        let hidden = (position..<position + count).clamped(to: table)
        // Before 6.10 vfio-pci uses accesses of at most 4 bytes. But these accesses stand for the loads and stores on a
        // mapped BAR, which no kernel splits. Drivers of mediated devices do split them.
        let widths = function.isMediated ? [4, 2, 1] : [8, 4, 2, 1]
        func access(_ range: Range<Int>) throws(Errno) {
            var offset = range.lowerBound
            while offset < range.upperBound {
                guard function.config.isMemoryEnabled || bar >= CVFIO_PCI_NUM_REGIONS else { throw .ioError }
                let width = widths.first { range.upperBound - offset >= $0 && offset % $0 == 0 }!
                let place = offset - position
                if isWrite {
                    function.store(bar: bar, offset: UInt64(offset), width: width, bytes.integer(at: place, width))
                } else {
                    bytes.set(place, function.load(bar: bar, offset: UInt64(offset), width: width), width)
                }
                offset += width
            }
        }
        if hidden.isEmpty {
            try access(position..<position + count)
        } else {
            try access(position..<hidden.lowerBound)
            if !isWrite { for offset in hidden { bytes[offset - position] = 0xff } }
            try access(hidden.upperBound..<position + count)
        }
        return count
    }

    private func accessConfig(_ position: Int, _ bytes: inout [UInt8], isWrite: Bool) throws(Errno) -> Int {
        guard position + bytes.count <= function.config.byteCount else { throw .badAddress }
        var done = 0
        while done < bytes.count {
            let offset = position + done
            let count = function.config.chunk(at: offset, upTo: bytes.count - done)
            if isWrite {
                function.writeConfig(offset, count, ConfigSpace.load(bytes, done, count))
            } else {
                ConfigSpace.store(&bytes, done, count, function.config.read(offset, count))
            }
            done += count
        }
        return done
    }

    // MARK: Information

    func regionInfo(_ argument: Argument) throws(Errno) {
        var info = try argument.loadSized(cvfio_region_info())
        // Without capabilities cap_offset is not changed.
        info.flags = CVFIO_REGION_INFO_FLAG_READ | CVFIO_REGION_INFO_FLAG_WRITE
        info.size = 0
        var chain = CapabilityChain()
        let index = info.index
        switch index {
        case CVFIO_PCI_CONFIG_REGION_INDEX: info.size = UInt64(function.config.byteCount)
        case CVFIO_PCI_BAR0_REGION_INDEX...CVFIO_PCI_BAR5_REGION_INDEX:
            info.size = function.barSize(Int(index))
            if info.size > 0, function.isMappable(Int(index)) {
                info.flags |= CVFIO_REGION_INFO_FLAG_MMAP
                if function.pci.msix?.bar == Int(index) {
                    chain.append(id: CVFIO_REGION_INFO_CAP_MSIX_MAPPABLE, body: [])
                }
            }
        case CVFIO_PCI_ROM_REGION_INDEX: break
        case CVFIO_PCI_NUM_REGIONS..<function.regionCount:
            info.size = function.regionSize(Int(index))
            chain = function.typeCapability(of: index)
        default: throw .invalidArgument
        }
        if info.size == 0 { info.flags = 0 }
        info.offset = Self.offset(of: index)
        try storeRegion(&info, chain, argument)
    }

    func storeRegion(_ info: inout cvfio_region_info, _ chain: CapabilityChain, _ argument: Argument) throws(Errno) {
        let size = MemoryLayout<cvfio_region_info>.size
        if !chain.isEmpty {
            info.flags |= CVFIO_REGION_INFO_FLAG_CAPS
            info.cap_offset = try argument.store(chain, behind: size, argsz: info.argsz)
            if info.cap_offset == 0 { info.argsz = UInt32(size + chain.bytes.count) }
        }
        try argument.store(info)
    }
}
