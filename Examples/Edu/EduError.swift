public import VFIO

/// What can go wrong with an edu.
public enum EduError: Error, Sendable, Hashable {
    /// The library or the kernel refused something.
    case vfio(VFIOError)
    /// The device is another one.
    case notAnEdu(vendor: UInt16, device: UInt16)
    /// The device has a buffer of 4096 bytes, and something else was to be moved.
    case byteCount(Int)
    /// The device did not finish, or its interrupt did not come.
    case timedOut(String)
}

extension EduError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .vfio(let error): "\(error)"
        case .notAnEdu(let vendor, let device):
            "the device is no edu (1234:11e8) but \(String(vendor, radix: 16)):\(String(device, radix: 16))"
        case .byteCount(let count): "an edu moves 1 to \(Edu.bufferByteCount) bytes at once, not \(count)"
        case .timedOut(let operation): "the edu did not finish in time: \(operation)"
        }
    }
}

extension EduError {
    /// Runs what throws the library's errors, and throws them as the driver's.
    static func wrapping<Result: ~Copyable>(_ body: () throws(VFIOError) -> Result) throws(EduError) -> Result {
        do throws(VFIOError) {
            return try body()
        } catch {
            throw .vfio(error)
        }
    }
}
