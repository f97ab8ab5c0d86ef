internal import CVFIO
internal import SystemPackage

extension DeviceCore {
    /// Sets a feature, or gets what it points to (`VFIO_DEVICE_FEATURE`).
    ///
    /// - Parameters:
    ///   - number: Of the feature.
    ///   - action: `VFIO_DEVICE_FEATURE_SET` or `VFIO_DEVICE_FEATURE_GET`.
    ///   - data: What follows the header.
    func feature(_ number: UInt32, _ action: UInt32, _ data: [UInt8] = []) throws(Errno) {
        let size = MemoryLayout<cvfio_device_feature>.size
        var header = cvfio_device_feature()
        header.argsz = UInt32(size + data.count)
        header.flags = action | number
        let buffer = RequestBuffer(header, tail: data.count)
        for (offset, byte) in data.enumerated() { buffer.store(byte, at: size + offset) }
        _ = try kernel.control(descriptor, CVFIO_DEVICE_FEATURE, with: buffer)
    }

    /// The error for a feature that was refused.
    ///
    /// - Parameter place: Where the feature is to be had, for the hint.
    func featureRefusal(_ errno: Errno, _ operation: String, place: String) -> VFIOError {
        switch errno {
        case .inappropriateIOCTLForDevice, .notSupported:
            VFIOError(.unsupported, operation, "\(address)", errno: errno, hint: place)
        default: VFIOError(.kernel, operation, "\(address)", errno: errno)
        }
    }
}
