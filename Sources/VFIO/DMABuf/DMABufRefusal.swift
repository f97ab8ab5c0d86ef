internal import SystemPackage

/// The reasons why a dma-buf cannot be mapped.
enum DMABufRefusal {
    private static func dead(_ operation: String, _ subject: String, errno: Errno? = nil) -> VFIOError {
        VFIOError(
            .exporterClosed, operation, subject, errno: errno, hint: "the exporting device has been closed; export anew"
        )
    }

    private static func memoryDecodeOff(_ operation: String, _ subject: String, errno: Errno? = nil) -> VFIOError {
        VFIOError(
            .memoryDecodeOff, operation, subject, errno: errno,
            hint: "switch memory decode of the exporting device on, and the device into D0, first")
    }

    /// Throws if the exporter is known not to respond. What is unknown is left to the kernel.
    static func check(
        _ exporter: RevocationTracker.State?, _ operation: String, _ subject: String
    ) throws(VFIOError) {
        guard let exporter else { return }
        if exporter.isClosed { throw dead(operation, subject) }
        if exporter.memory == .gone {
            throw VFIOError(
                .deviceGone, operation, subject,
                hint: "the exporting device \(DeviceCore.silence), when it was last asked (Device.isPresent())")
        }
        if exporter.isInLowPower || exporter.memory == .off { throw memoryDecodeOff(operation, subject) }
    }

    /// Interprets the kernel's errno for a mapping, given the exporter's state; `nil` if it does not concern the
    /// dma-buf.
    static func map(
        _ errno: Errno, operation: String, subject: String, revocation: RevocationTracker?
    ) -> VFIOError? {
        let request = ABI.Call.mapFile.operation(operation)
        switch errno {
        case .operationNotSupportedByDevice:
            let current = revocation?.current
            if current?.isClosed == true { return dead(request, subject, errno: errno) }
            if current?.isInLowPower == true || current?.memory == .off {
                return memoryDecodeOff(request, subject, errno: errno)
            }
            return VFIOError(
                .revoked, request, subject, errno: errno,
                hint: "the exporter is being reset, is switched off, or has been closed")
        case .notSupported:
            return VFIOError(
                .unsupported, request, subject, errno: errno,
                hint: "an iommufd imports dma-bufs of one range that vfio-pci has exported, and no others")
        case .inappropriateIOCTLForDevice:
            return VFIOError(
                .unsupported, request, subject, errno: errno, hint: "mapping a dma-buf needs Linux 6.19")
        default:
            return nil
        }
    }
}
