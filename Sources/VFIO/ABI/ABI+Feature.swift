internal import CVFIO
internal import Glibc
package import SystemPackage

// <linux/vfio.h>: optional features of a device, all by the ioctl `VFIO_DEVICE_FEATURE`.
extension ABI {
    /// - Parameters:
    ///   - flags: The feature's number, and whether to get or to set.
    ///   - data: The feature's structure.
    ///   - tail: The bytes after the structure.
    ///   - memory: The memory that the data point to.
    ///   - answer: Makes the answer from the data that the kernel returns, and the result.
    // Not `some ABIRequest`: that type would name the structure, and users of the library cannot load CVFIO.
    private static func feature<Data: BitwiseCopyable, Answer>(
        _ call: Call, _ flags: UInt32, _ data: Data, tail: [UInt8] = [], pointingTo memory: RequestBuffer? = nil,
        answer: @escaping (Data, Int) -> Answer
    ) -> TailedRequest<Answer> {
        let header = bytes([cvfio_device_feature(argsz: 0, flags: flags)])
        return TailedRequest(call, header + bytes([data]) + tail, pointingTo: memory) { (buffer, result) in
            answer(buffer.load(at: header.count) ?? data, result)
        }
    }

    /// A feature that is set, with its data.
    private static func setting(_ call: Call, _ number: UInt32, _ data: [UInt8] = []) -> some ABIRequest<Void> {
        let header = cvfio_device_feature(argsz: 0, flags: CVFIO_DEVICE_FEATURE_SET | number)
        return TailedRequest(call, bytes([header]) + data) { (_, _) in }
    }
}

extension ABI {
    /// The corresponding request is `VFIO_DEVICE_FEATURE`.
    package static func probeFeature(_ number: UInt16) -> some ABIRequest<Void> {
        let header = cvfio_device_feature(argsz: 0, flags: CVFIO_DEVICE_FEATURE_PROBE | UInt32(number))
        return TailedRequest(.probeFeature, bytes([header])) { (_, _) in }
    }

    /// The corresponding request is `VFIO_DEVICE_FEATURE_PCI_VF_TOKEN`.
    package static func setVFToken(_ token: [UInt8]) -> some ABIRequest<Void> {
        setting(.setVFToken, CVFIO_DEVICE_FEATURE_PCI_VF_TOKEN, token)
    }

    /// Enables or disables DMA of a device on a CDX bus. The corresponding request is `VFIO_DEVICE_FEATURE_BUS_MASTER`.
    package static func setBusMaster(_ isMaster: Bool) -> some ABIRequest<Void> {
        setting(
            .setBusMaster, CVFIO_DEVICE_FEATURE_BUS_MASTER,
            bytes([isMaster ? CVFIO_DEVICE_FEATURE_SET_MASTER : CVFIO_DEVICE_FEATURE_CLEAR_MASTER]))
    }

    /// Reads and clears the error report that s390 holds for a PCI function.
    /// The corresponding request is `VFIO_DEVICE_FEATURE_ZPCI_ERROR`.
    ///
    /// - Parameter byteCount: The length of the report, at most 4096.
    package static func takeZPCIError(byteCount: Int) -> some ABIRequest<[UInt8]> {
        // Always the maximal size, for a kernel that writes more than the given length.
        let report = RequestBuffer(byteCount: 4096)
        return feature(
            .takeZPCIError, CVFIO_DEVICE_FEATURE_GET | CVFIO_DEVICE_FEATURE_ZPCI_ERROR, report.address,
            pointingTo: report
        ) { (_, _) in Array(report.content.prefix(byteCount)) }
    }

    /// The corresponding request is `VFIO_DEVICE_FEATURE_DMA_BUF`.
    package static func exportDMABuf(
        of region: UInt32, _ ranges: [Range<UInt64>], isWritable: Bool
    ) -> some ABIRequest<FileDescriptor> {
        let export = cvfio_device_feature_dma_buf(
            region_index: region, open_flags: UInt32(O_CLOEXEC | (isWritable ? O_RDWR : O_RDONLY)), flags: 0,
            nr_ranges: UInt32(ranges.count))
        let entries = ranges.map {
            cvfio_region_dma_range(offset: $0.lowerBound, length: $0.upperBound - $0.lowerBound)
        }
        return feature(
            .exportDMABuf, CVFIO_DEVICE_FEATURE_GET | CVFIO_DEVICE_FEATURE_DMA_BUF, export, tail: bytes(entries)
        ) { (_, result) in FileDescriptor(rawValue: Int32(truncatingIfNeeded: result)) }
    }

    // MARK: Power

    /// The corresponding request is `VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY`.
    package static func enterLowPower() -> some ABIRequest<Void> {
        setting(.enterLowPower, CVFIO_DEVICE_FEATURE_LOW_POWER_ENTRY)
    }

    /// The corresponding request is `VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP`.
    package static func enterLowPower(untilWakeupBy event: FileDescriptor) -> some ABIRequest<Void> {
        // The descriptor, and a reserved word.
        setting(
            .enterLowPowerUntilWakeup, CVFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP, bytes([event.rawValue, 0]))
    }

    /// The corresponding request is `VFIO_DEVICE_FEATURE_LOW_POWER_EXIT`.
    package static func leaveLowPower() -> some ABIRequest<Void> {
        setting(.leaveLowPower, CVFIO_DEVICE_FEATURE_LOW_POWER_EXIT)
    }

    // MARK: Migration

    /// Returns the device's migration capabilities, as flags.
    /// The corresponding request is `VFIO_DEVICE_FEATURE_MIGRATION`.
    package static func getMigration() -> some ABIRequest<UInt64> {
        feature(.getMigration, CVFIO_DEVICE_FEATURE_GET | CVFIO_DEVICE_FEATURE_MIGRATION, 0 as UInt64) { (flags, _) in
            flags
        }
    }

    /// The corresponding request is `VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE`.
    package static func getMigrationState() -> some ABIRequest<UInt32> {
        feature(
            .migrationState, CVFIO_DEVICE_FEATURE_GET | CVFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
            cvfio_device_feature_mig_state()
        ) { (answer, _) in answer.device_state }
    }

    /// Sets the device's migration state, and returns the data stream that begins with it.
    /// The corresponding request is `VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE`.
    package static func setMigrationState(_ state: UInt32) -> some ABIRequest<FileDescriptor?> {
        feature(
            .migrationState, CVFIO_DEVICE_FEATURE_SET | CVFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
            cvfio_device_feature_mig_state(device_state: state, data_fd: -1)
        ) { (answer, _) in answer.data_fd >= 0 ? FileDescriptor(rawValue: answer.data_fd) : nil }
    }

    /// The corresponding request is `VFIO_DEVICE_FEATURE_MIG_DATA_SIZE`.
    package static func getMigrationDataSize() -> some ABIRequest<UInt64> {
        feature(
            .getMigrationDataSize, CVFIO_DEVICE_FEATURE_GET | CVFIO_DEVICE_FEATURE_MIG_DATA_SIZE, 0 as UInt64
        ) { (byteCount, _) in byteCount }
    }

    /// Enables the flag of ``getPreCopyProgress()``.
    /// The corresponding request is `VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2`.
    package static func enablePreCopyFlags() -> some ABIRequest<Void> {
        setting(.enablePreCopyFlags, CVFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2)
    }

    /// The corresponding request is `VFIO_MIG_GET_PRECOPY_INFO`.
    package static func getPreCopyProgress() -> some ABIRequest<(initial: UInt64, dirty: UInt64, isReinitialized: Bool)>
    {
        TailedRequest(.getPreCopyProgress, bytes([cvfio_precopy_info()])) { (buffer, _) in
            let info: cvfio_precopy_info = buffer.header()
            return (info.initial_bytes, info.dirty_bytes, info.flags & CVFIO_PRECOPY_INFO_REINIT != 0)
        }
    }

    // MARK: DMA logging

    /// Starts a log of the device's writes, and returns its page size.
    /// The corresponding request is `VFIO_DEVICE_FEATURE_DMA_LOGGING_START`.
    package static func startDMALog(of ranges: [Range<UInt64>], pageSize: UInt64) -> some ABIRequest<UInt64> {
        let list = RequestBuffer(bytes(ranges.flatMap { [$0.lowerBound, $0.upperBound - $0.lowerBound] }))
        let control = cvfio_device_feature_dma_logging_control(
            page_size: pageSize, num_ranges: UInt32(ranges.count), __reserved: 0, ranges: list.address)
        return feature(
            .startDMALog, CVFIO_DEVICE_FEATURE_SET | CVFIO_DEVICE_FEATURE_DMA_LOGGING_START, control, pointingTo: list
        ) { (control, _) in control.page_size }
    }

    /// Reads and clears the log of a range, as words of a bitmap.
    /// The corresponding request is `VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT`.
    package static func readDMALog(_ iova: UInt64, byteCount: UInt64, pageSize: UInt64) -> some ABIRequest<[UInt64]> {
        let pages = DirtyPages(byteCount, pageSize)
        return feature(
            .readDMALog, CVFIO_DEVICE_FEATURE_GET | CVFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
            cvfio_device_feature_dma_logging_report(
                iova: iova, length: byteCount, page_size: pageSize, bitmap: pages.room.address),
            pointingTo: pages.room
        ) { (_, _) in pages.words }
    }

    /// The corresponding request is `VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP`.
    package static func stopDMALog() -> some ABIRequest<Void> {
        setting(.stopDMALog, CVFIO_DEVICE_FEATURE_DMA_LOGGING_STOP)
    }
}
