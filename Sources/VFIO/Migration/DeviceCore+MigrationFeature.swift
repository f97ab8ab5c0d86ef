internal import CVFIO
internal import SystemPackage

extension DeviceCore {
    /// `VFIO_DEVICE_FEATURE` with data of a fixed size, which the kernel may fill in, also when it refuses.
    func feature<Data: BitwiseCopyable>(_ flags: UInt32, with data: inout Data) throws(Errno) {
        let headerSize = MemoryLayout<cvfio_device_feature>.size
        let buffer = RequestBuffer(byteCount: headerSize + MemoryLayout<Data>.size)
        buffer.store(cvfio_device_feature(argsz: UInt32(buffer.byteCount), flags: flags), at: 0)
        buffer.store(data, at: headerSize)
        _ = try kernel.control(descriptor, CVFIO_DEVICE_FEATURE, with: buffer)
        if let answer = buffer.load(Data.self, at: headerSize) { data = answer }
    }

    /// `VFIO_DEVICE_FEATURE` without data.
    func feature(_ flags: UInt32) throws(Errno) {
        var request = cvfio_device_feature()
        request.argsz = UInt32(MemoryLayout<cvfio_device_feature>.size)
        request.flags = flags
        _ = try kernel.control(descriptor, CVFIO_DEVICE_FEATURE, with: &request)
    }

    /// What a refused feature means; `lacking` says why it may not be there.
    func featureError(_ errno: Errno, _ operation: String, lacking: String) -> VFIOError {
        switch errno {
        case .inappropriateIOCTLForDevice, .notSupported:
            VFIOError(.unsupported, operation, "\(address)", errno: errno, hint: lacking)
        default: VFIOError(.kernel, operation, "\(address)", errno: errno)
        }
    }
}
