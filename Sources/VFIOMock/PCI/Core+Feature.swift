internal import CVFIO
internal import Glibc
import SystemPackage
import VFIO

extension Core {
    /// `VFIO_DEVICE_FEATURE`.
    func feature(_ function: PCIFunction, _ argument: Argument) throws(Errno) -> Int {
        let header = MemoryLayout<cvfio_device_feature>.size
        let request = try argument.load(cvfio_device_feature())
        if Int(request.argsz) < header { throw .invalidArgument }
        let (get, set, probe) = (
            request.flags & CVFIO_DEVICE_FEATURE_GET != 0, request.flags & CVFIO_DEVICE_FEATURE_SET != 0,
            request.flags & CVFIO_DEVICE_FEATURE_PROBE != 0
        )
        let known =
            CVFIO_DEVICE_FEATURE_MASK | CVFIO_DEVICE_FEATURE_GET | CVFIO_DEVICE_FEATURE_SET
            | CVFIO_DEVICE_FEATURE_PROBE
        if request.flags & ~known != 0 || (!probe && get && set) { throw .invalidArgument }
        let room = Int(request.argsz) - header

        /// Whether the feature is to be carried out, and not only probed.
        func isAsked(canGet: Bool = false, canSet: Bool = false, byteCount: Int) throws(Errno) -> Bool {
            if (get && !canGet) || (set && !canSet) { throw .invalidArgument }
            if probe { return false }
            if !get && !set { throw .invalidArgument }
            if room < byteCount { throw .invalidArgument }
            return true
        }

        let answer = try migrationFeature(
            function, request.flags & CVFIO_DEVICE_FEATURE_MASK, argument, at: header
        ) { (canGet, canSet, byteCount) throws(Errno) in
            try isAsked(canGet: canGet, canSet: canSet, byteCount: byteCount)
        }
        if let answer { return answer }
        if function.mediated != nil { throw .inappropriateIOCTLForDevice }

        switch request.flags & CVFIO_DEVICE_FEATURE_MASK {
        case CVFIO_DEVICE_FEATURE_PCI_VF_TOKEN where function.virtualFunctions != nil:
            if try isAsked(canSet: true, byteCount: 16) {
                function.virtualFunctions?.setToken(try argument.bytes(at: header, 16))
            }
        case CVFIO_DEVICE_FEATURE_LOW_POWER_ENTRY:
            if try isAsked(canSet: true, byteCount: 0) { try enterLowPower(function, wake: nil) }
        case CVFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP:
            let size = MemoryLayout<cvfio_device_low_power_entry_with_wakeup>.size
            if try isAsked(canSet: true, byteCount: size) {
                let entry = try argument.load(cvfio_device_low_power_entry_with_wakeup(), at: header)
                if entry.wakeup_eventfd < 0 { throw .invalidArgument }
                try enterLowPower(function, wake: try EventDescriptor(entry.wakeup_eventfd))
            }
        case CVFIO_DEVICE_FEATURE_LOW_POWER_EXIT:
            if try isAsked(canSet: true, byteCount: 0) {
                function.isInLowPower = false
                function.lowPowerWake = nil
                settle(function)
            }
        case CVFIO_DEVICE_FEATURE_DMA_BUF where release.hasDMABuf:
            let size = MemoryLayout<cvfio_device_feature_dma_buf>.size
            if try isAsked(canGet: true, byteCount: size) { return try export(function, argument, at: header) }
        case CVFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2 where !isOld:
            // The kernel knows it for devices that can migrate, and checks that they can do PRE_COPY before all else.
            throw .invalidArgument
        default: throw .inappropriateIOCTLForDevice
        }
        return 0
    }

    // MARK: Low power

    private func enterLowPower(_ function: PCIFunction, wake: EventDescriptor?) throws(Errno) {
        function.moveExports(revoked: true)
        if function.isInLowPower { throw .invalidArgument }
        function.isInLowPower = true
        function.lowPowerWake = wake
        updateMappings(of: function)
    }

    /// An access brings the device out of low power. Whoever asked to be told of it has to leave low power for good by
    /// that; otherwise the device goes back by itself.
    func wake(_ function: PCIFunction) {
        // With virtual functions the device was never suspended.
        guard release.hasRuntimePowerManagement, function.virtualFunctions?.functions.isEmpty ?? true,
            let wake = function.lowPowerWake
        else { return }
        wake.signal()
        function.lowPowerWake = nil
        function.isInLowPower = false
        updateMappings(of: function)
    }

    // MARK: dma-buf

    private func export(_ function: PCIFunction, _ argument: Argument, at offset: Int) throws(Errno) -> Int {
        let size = MemoryLayout<cvfio_device_feature_dma_buf>.size
        let request = try argument.load(cvfio_device_feature_dma_buf(), at: offset)
        if request.nr_ranges == 0 || request.flags != 0 { throw .invalidArgument }
        let bar = Int(request.region_index)
        if request.region_index >= CVFIO_PCI_ROM_REGION_INDEX || function.barSize(bar) == 0 {
            throw .operationNotSupportedByDevice
        }
        var ranges: [DMABuf.Range] = []
        var total: UInt64 = 0
        let mask = UInt64(host.pageSize - 1)
        let stride = MemoryLayout<cvfio_region_dma_range>.size
        let bytes = try argument.bytes(at: offset + size, Int(request.nr_ranges) * stride)
        for index in 0..<Int(request.nr_ranges) {
            let first = Self.word(bytes, index * stride)
            let count = Self.word(bytes, index * stride + 8)
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
        let (file, descriptor) = try makeFile(.dmaBuf(buffer), byteCount: total)
        // Kept for fdinfo alone. Linux goes by it nowhere: there is neither a read nor a write nor an mmap, and an
        // import does not look at it.
        file.statusFlags = Int32(bitPattern: request.open_flags) & (O_ACCMODE | O_NONBLOCK)
        if request.open_flags & UInt32(O_CLOEXEC) == 0 { _ = fcntl(descriptor.rawValue, F_SETFD, 0) }
        function.exports.append(buffer)
        return Int(descriptor.rawValue)
    }

    private static func word(_ bytes: [UInt8], _ offset: Int) -> UInt64 {
        (0..<8).reduce(0) { $0 | UInt64(bytes[offset + $1]) << UInt64($1 * 8) }
    }

    func checkSync(_ argument: Argument) throws(Errno) {
        let sync = try argument.load(cdma_buf_sync())
        if sync.flags & ~CDMA_BUF_SYNC_VALID_FLAGS_MASK != 0 || sync.flags & CDMA_BUF_SYNC_RW == 0 {
            throw .invalidArgument
        }
    }

    func dmaBufControl(_ buffer: DMABuf, _ request: UInt, _ argument: Argument) throws(Errno) -> Int {
        switch request {
        case CDMA_BUF_IOCTL_SYNC:
            try checkSync(argument)
        case CDMA_BUF_SET_NAME_A, CDMA_BUF_SET_NAME_B:
            buffer.name = try argument.text(limit: Int(CDMA_BUF_NAME_LEN))
        default: throw .inappropriateIOCTLForDevice
        }
        return 0
    }
}
