internal import CVFIO
import SystemPackage
import VFIO

extension DeviceFile {
    /// The features of migratable devices, which the kernel answers for all drivers; `nil` for other features and
    /// devices.
    ///
    /// - Parameter isAsked: Checks the request, and returns whether to perform it: not for a probe.
    func migrationFeature(
        _ feature: UInt32, _ argument: Argument, at offset: Int,
        isAsked: (_ canGet: Bool, _ canSet: Bool, _ byteCount: Int) throws(Errno) -> Bool
    ) throws(Errno) -> Int? {
        guard let migration = function.migration else { return nil }
        switch feature {
        case CVFIO_DEVICE_FEATURE_MIGRATION:
            guard try isAsked(true, false, 8) else { return 0 }
            let flags = CVFIO_MIGRATION_STOP_COPY | CVFIO_MIGRATION_P2P | CVFIO_MIGRATION_PRE_COPY
            try argument.store(cvfio_device_feature_migration(flags: flags), at: offset)
        case CVFIO_DEVICE_FEATURE_MIG_DEVICE_STATE:
            guard try isAsked(true, true, 8) else { return 0 }
            try moveState(migration, argument, at: offset)
        case CVFIO_DEVICE_FEATURE_MIG_DATA_SIZE:
            guard try isAsked(true, false, 8) else { return 0 }
            let size = cvfio_device_feature_mig_data_size(stop_copy_length: UInt64(migration.byteCount))
            try argument.store(size, at: offset)
        case CVFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2: _ = try isAsked(false, true, 0)
        case CVFIO_DEVICE_FEATURE_DMA_LOGGING_START:
            guard try isAsked(false, true, 24) else { return 0 }
            try startLog(argument, at: offset)
        case CVFIO_DEVICE_FEATURE_DMA_LOGGING_STOP: _ = try isAsked(false, true, 0)
        case CVFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT:
            guard try isAsked(true, false, 32) else { return 0 }
            try reportLog(argument, at: offset)
        default: return nil
        }
        return 0
    }

    private func moveState(_ migration: MigrationControl, _ argument: Argument, at offset: Int) throws(Errno) {
        var move = try argument.load(cvfio_device_feature_mig_state(), at: offset)
        let flags = try argument.load(cvfio_device_feature()).flags
        move.data_fd = -1
        if flags & CVFIO_DEVICE_FEATURE_GET != 0 {
            move.device_state = migration.state
        } else {
            do throws(Errno) {
                if let file = try migration.change(to: move.device_state) {
                    move.data_fd = try driver.core.open(file).rawValue
                }
            } catch {
                try argument.store(move, at: offset)
                throw error
            }
        }
        try argument.store(move, at: offset)
    }

    // MARK: DMA logging

    private func startLog(_ argument: Argument, at offset: Int) throws(Errno) {
        let control = try argument.load(cvfio_device_feature_dma_logging_control(), at: offset)
        typealias Range = cvfio_device_feature_dma_logging_range
        if control.num_ranges == 0 { throw .invalidArgument }
        if Int(control.num_ranges) > driver.core.host.pageSize / MemoryLayout<Range>.size { throw .argListTooLong }
        var known: [ClosedRange<UInt64>] = []
        for range in try UserMemory.array(Range.self, Int(control.num_ranges), at: control.ranges) {
            // The kernel does not check that the page size is a power of two, or not 0.
            if (range.iova | range.length) & (control.page_size &- 1) != 0 { throw .invalidArgument }
            let (end, wraps) = range.iova.addingReportingOverflow(range.length)
            if wraps { throw .overflow }
            guard end > range.iova else { continue }
            if known.contains(where: { $0.overlaps(range.iova...end - 1) }) { throw .invalidArgument }
            known.append(range.iova...end - 1)
        }
    }

    private func reportLog(_ argument: Argument, at offset: Int) throws(Errno) {
        let report = try argument.load(cvfio_device_feature_dma_logging_report(), at: offset)
        if report.page_size < 4096 || report.page_size.nonzeroBitCount != 1 { throw .invalidArgument }
        if report.iova.addingReportingOverflow(report.length).overflow { throw .overflow }
    }
}
