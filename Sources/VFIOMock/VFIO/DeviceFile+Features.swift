internal import CVFIO
internal import Glibc
import SystemPackage
import VFIO

extension DeviceFile {
    /// `VFIO_DEVICE_FEATURE`.
    func feature(_ argument: Argument) throws(Errno) -> Int {
        let header = MemoryLayout<cvfio_device_feature>.size
        let request = try argument.loadSized(cvfio_device_feature())
        let (get, set, probe) = (
            request.flags & CVFIO_DEVICE_FEATURE_GET != 0, request.flags & CVFIO_DEVICE_FEATURE_SET != 0,
            request.flags & CVFIO_DEVICE_FEATURE_PROBE != 0
        )
        let known =
            CVFIO_DEVICE_FEATURE_MASK | CVFIO_DEVICE_FEATURE_GET | CVFIO_DEVICE_FEATURE_SET
            | CVFIO_DEVICE_FEATURE_PROBE
        if request.flags & ~known != 0 || (!probe && get && set) { throw .invalidArgument }
        let room = Int(request.argsz) - header

        /// Checks the flags and size, and returns whether to perform the feature: not for a probe.
        func isAsked(_ canGet: Bool, _ canSet: Bool, _ byteCount: Int) throws(Errno) -> Bool {
            if (get && !canGet) || (set && !canSet) { throw .invalidArgument }
            if probe { return false }
            if !get && !set { throw .invalidArgument }
            if room < byteCount { throw .invalidArgument }
            return true
        }

        let number = request.flags & CVFIO_DEVICE_FEATURE_MASK
        if let answer = try migrationFeature(number, argument, at: header, isAsked: isAsked) { return answer }
        if function.isMediated { throw .inappropriateIOCTLForDevice }
        switch number {
        case CVFIO_DEVICE_FEATURE_PCI_VF_TOKEN where function.virtualFunctions != nil:
            if try isAsked(false, true, 16) {
                function.virtualFunctions?.setToken(try argument.bytes(at: header, 16))
            }
        case CVFIO_DEVICE_FEATURE_LOW_POWER_ENTRY:
            if try isAsked(false, true, 0) { try function.enterLowPower(wake: nil) }
        case CVFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP:
            if try isAsked(false, true, MemoryLayout<cvfio_device_low_power_entry_with_wakeup>.size) {
                let entry = try argument.load(cvfio_device_low_power_entry_with_wakeup(), at: header)
                if entry.wakeup_eventfd < 0 { throw .invalidArgument }
                try function.enterLowPower(wake: try EventDescriptor(entry.wakeup_eventfd))
            }
        case CVFIO_DEVICE_FEATURE_LOW_POWER_EXIT:
            if try isAsked(false, true, 0) { function.leaveLowPower() }
        case CVFIO_DEVICE_FEATURE_DMA_BUF where driver.bus.release.hasDMABuf:
            if try isAsked(true, false, MemoryLayout<cvfio_device_feature_dma_buf>.size) {
                return try export(argument, at: header)
            }
        case CVFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2 where !follows6_1:
            // The kernel checks first that a migratable device supports PRE_COPY.
            throw .invalidArgument
        default: throw .inappropriateIOCTLForDevice
        }
        return 0
    }

    // MARK: dma-buf

    private func export(_ argument: Argument, at offset: Int) throws(Errno) -> Int {
        let size = MemoryLayout<cvfio_device_feature_dma_buf>.size
        let request = try argument.load(cvfio_device_feature_dma_buf(), at: offset)
        if request.nr_ranges == 0 || request.flags != 0 { throw .invalidArgument }
        let bar = Int(request.region_index)
        if request.region_index >= CVFIO_PCI_ROM_REGION_INDEX || function.barSize(bar) == 0 {
            throw .operationNotSupportedByDevice
        }
        var ranges: [DMABuf.Range] = []
        var total: UInt64 = 0
        let mask = UInt64(driver.core.host.pageSize - 1)
        for range in try argument.array(cvfio_region_dma_range.self, Int(request.nr_ranges), at: offset + size) {
            let (first, count) = (range.offset, range.length)
            if count == 0 || first & mask != 0 || count & mask != 0 { throw .invalidArgument }
            let sum = total.addingReportingOverflow(count)
            if sum.overflow { throw .invalidArgument }
            total = sum.partialValue
            ranges.append(.init(bar: bar, offset: first, byteCount: count))
        }
        if total >> 63 != 0 { throw .invalidArgument }
        let start = function.barAddresses[bar] ?? 0
        for range in ranges {
            let (first, wraps) = start.addingReportingOverflow(range.offset)
            let (end, wrapsToo) = first.addingReportingOverflow(range.byteCount)
            if wraps || wrapsToo { throw .overflow }
            if end > start + function.barSize(bar) { throw .invalidArgument }
        }
        let buffer = DMABuf(function, ranges, isRevoked: !function.config.isMemoryEnabled)
        // Kept for fdinfo only: a dma-buf has no read, write or mmap, and an import ignores the flags.
        let flags = Int32(bitPattern: request.open_flags) & (O_ACCMODE | O_NONBLOCK)
        let descriptor = try driver.core.open(buffer, byteCount: total, flags: flags)
        if request.open_flags & UInt32(O_CLOEXEC) == 0 { _ = fcntl(descriptor.rawValue, F_SETFD, 0) }
        function.addExport(buffer)
        return Int(descriptor.rawValue)
    }
}
