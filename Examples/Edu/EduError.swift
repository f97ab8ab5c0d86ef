public import VFIO

/// An error of the edu driver.
public enum EduError: Error, Sendable, Hashable {
    /// An error of the library or the kernel.
    case vfio(VFIOError)
    /// The device is not an edu.
    case notAnEdu(vendor: UInt16, device: UInt16)
    /// The size is not within the device's buffer of 4096 bytes.
    case byteCount(Int)
    /// The device did not finish, or its interrupt did not arrive, in time.
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
    /// Runs a closure, and rethrows the library's errors as the driver's.
    static func wrapping<Result: ~Copyable>(_ body: () throws(VFIOError) -> Result) throws(EduError) -> Result {
        do throws(VFIOError) {
            return try body()
        } catch {
            throw .vfio(error)
        }
    }
}
