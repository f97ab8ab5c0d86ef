public import SystemPackage

/// An error with its operation, its subject and, where known, a remedy.
///
/// ```swift
/// do throws(VFIOError) {
///     let device = try Device(at: "0000:00:04.0", in: space)
///     …
/// } catch {
///     guard error.code == .groupNotViable else { throw error }
///     print(error.hint ?? "")
/// }
/// ```
public struct VFIOError: Error, Sendable, Hashable {
    /// The kind of failure, for programs to branch on.
    public let code: Code
    /// The operation that failed, with its ioctl if there is one: `"map memory (VFIO_IOMMU_MAP_DMA)"`.
    public let operation: String
    /// What the operation acted on: a device, a region, an IOVA range.
    public let subject: String
    /// The kernel's error; `nil` if the library refused without calling the kernel.
    public let errno: Errno?
    /// What is known of the cause, and how to remove it.
    public let hint: String?

    public init(_ code: Code, _ operation: String, _ subject: String, errno: Errno? = nil, hint: String? = nil) {
        self.code = code
        self.operation = operation
        self.subject = subject
        self.errno = errno
        self.hint = hint
    }

    /// The kinds of failure. More may be added: a `switch` needs a `default`.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        // A struct around an enum, so that a new case does not break a caller's switch.
        private enum Kind: String, Sendable {
            case kernel, invalidArgument, notFound, permissionDenied, unsupported, notBoundToVFIO, driverRefused,
                groupNotViable
            case noDevice, busy, alreadyMapped, noSpace, outOfRange, misaligned, deviceMemory, revoked
            case memoryDecodeOff, exporterClosed, limit, unexpectedAnswer, inUse, interruptLost, deviceGone
        }
        private let kind: Kind

        private init(_ kind: Kind) { self.kind = kind }

        public var description: String { kind.rawValue }

        /// The kernel refused for a reason without a code of its own: see ``VFIOError/errno``.
        public static var kernel: Code { .init(.kernel) }
        /// An argument that is never valid, such as an empty range.
        public static var invalidArgument: Code { .init(.invalidArgument) }
        /// There is no such device, region, interrupt or file.
        public static var notFound: Code { .init(.notFound) }
        /// The process lacks the permission.
        public static var permissionDenied: Code { .init(.permissionDenied) }
        /// The kernel, driver or device lacks the feature.
        public static var unsupported: Code { .init(.unsupported) }
        /// The device is not bound to a VFIO driver.
        public static var notBoundToVFIO: Code { .init(.notBoundToVFIO) }
        /// A driver did not bind the device, did not release it, or does not support the operation.
        public static var driverRefused: Code { .init(.driverRefused) }
        /// Another device of the IOMMU group is bound to a kernel driver that is not VFIO's.
        public static var groupNotViable: Code { .init(.groupNotViable) }
        /// The address space has no device yet, so it has no IOMMU either (type1 only).
        public static var noDevice: Code { .init(.noDevice) }
        /// Another process or owner holds it.
        public static var busy: Code { .init(.busy) }
        /// The IOVA range overlaps a mapped range.
        public static var alreadyMapped: Code { .init(.alreadyMapped) }
        /// No free IOVA range or no memory is left.
        public static var noSpace: Code { .init(.noSpace) }
        /// The range leaves the region, the buffer or the usable IOVA ranges.
        public static var outOfRange: Code { .init(.outOfRange) }
        /// An address or length is not a multiple of the page size or access width.
        public static var misaligned: Code { .init(.misaligned) }
        /// The memory is a device's, mapped for the CPU; DMA to it needs a dma-buf.
        public static var deviceMemory: Code { .init(.deviceMemory) }
        /// The dma-buf, or a mapping of it, has been revoked; it can be mapped again.
        public static var revoked: Code { .init(.revoked) }
        /// Memory decode of the device is off, so its BARs do not respond.
        public static var memoryDecodeOff: Code { .init(.memoryDecodeOff) }
        /// The exporting device has been closed: the dma-buf is permanently unusable.
        public static var exporterClosed: Code { .init(.exporterClosed) }
        /// A limit of the process or of the kernel was reached, such as `RLIMIT_MEMLOCK`.
        public static var limit: Code { .init(.limit) }
        /// The kernel returned an inconsistent result: a short read, a wrong unmap size, a broken capability chain.
        public static var unexpectedAnswer: Code { .init(.unexpectedAnswer) }
        /// An object that depends on this one is still open; both close together.
        public static var inUse: Code { .init(.inUse) }
        /// The interrupt went off when others were enabled, and the kernel refused to switch it on again.
        public static var interruptLost: Code { .init(.interruptLost) }
        /// The device does not answer: its registers read as all ones.
        public static var deviceGone: Code { .init(.deviceGone) }
    }
}

extension VFIOError: CustomStringConvertible {
    public var description: String {
        var text = "cannot \(operation) for \(subject)"
        if let errno { text += ": \(errno) (\(errno.symbol))" }
        if let hint { text += ": \(hint)" }
        return text
    }
}
