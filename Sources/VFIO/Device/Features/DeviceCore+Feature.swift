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

    /// Gets or sets a feature whose data are a structure, which the kernel may fill in, also when it refuses.
    func feature<Data: BitwiseCopyable>(_ number: UInt32, _ action: UInt32, with data: inout Data) throws(Errno) {
        let headerSize = MemoryLayout<cvfio_device_feature>.size
        let buffer = RequestBuffer(byteCount: headerSize + MemoryLayout<Data>.size)
        buffer.store(cvfio_device_feature(argsz: UInt32(buffer.byteCount), flags: action | number), at: 0)
        buffer.store(data, at: headerSize)
        _ = try kernel.control(descriptor, CVFIO_DEVICE_FEATURE, with: buffer)
        if let answer = buffer.load(Data.self, at: headerSize) { data = answer }
    }

    /// The error for a feature that was refused.
    ///
    /// - Parameter place: Where the feature is to be had, or what lacks it, for the hint.
    func featureRefusal(_ errno: Errno, _ operation: String, place: String) -> VFIOError {
        switch errno {
        case .inappropriateIOCTLForDevice, .notSupported:
            VFIOError(.unsupported, operation, "\(address)", errno: errno, hint: place)
        default: VFIOError(.kernel, operation, "\(address)", errno: errno)
        }
    }
}
