public import SystemPackage

/// What went wrong, with what, and what to do about it.
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
    /// What was tried, in words, with the ioctl where there is one: `"map memory (VFIO_IOMMU_MAP_DMA)"`.
    public let operation: String
    /// What it was tried on: a device, a region, an IOVA range.
    public let subject: String
    /// What the kernel answered; `nil` when the library refused before it asked the kernel.
    public let errno: Errno?
    /// What is known of the cause, and what to do.
    public let hint: String?

    public init(_ code: Code, _ operation: String, _ subject: String, errno: Errno? = nil, hint: String? = nil) {
        self.code = code
        self.operation = operation
        self.subject = subject
        self.errno = errno
        self.hint = hint
    }

    /// The kinds of failure. New ones may come: a `switch` needs a `default`.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        // A struct over an enum, so that a new case breaks nobody's switch.
        private enum Kind: String, Sendable {
            case kernel, invalidArgument, notFound, permissionDenied, unsupported, notBoundToVFIO, driverRefused,
                groupNotViable
            case noDevice, busy, alreadyMapped, noSpace, outOfRange, misaligned, deviceMemory, revoked
            case memoryDecodeOff, exporterClosed, limit, unexpectedAnswer, inUse
        }
        private let kind: Kind

        private init(_ kind: Kind) { self.kind = kind }

        public var description: String { kind.rawValue }

        /// The kernel refused, for a reason that the library has no word for: see ``VFIOError/errno``.
        public static var kernel: Code { .init(.kernel) }
        /// An argument that can never be right, such as an empty range.
        public static var invalidArgument: Code { .init(.invalidArgument) }
        /// There is no such device, region, interrupt or file.
        public static var notFound: Code { .init(.notFound) }
        /// The process may not do this.
        public static var permissionDenied: Code { .init(.permissionDenied) }
        /// This kernel, driver or device lacks the feature.
        public static var unsupported: Code { .init(.unsupported) }
        /// The device is not bound to a VFIO driver.
        public static var notBoundToVFIO: Code { .init(.notBoundToVFIO) }
        /// A driver did not take the device, did not release it, or does not support what was asked of it.
        public static var driverRefused: Code { .init(.driverRefused) }
        /// Another device of the IOMMU group is held by a driver of the kernel.
        public static var groupNotViable: Code { .init(.groupNotViable) }
        /// The address space has no device yet, so it has no IOMMU either (type1 only).
        public static var noDevice: Code { .init(.noDevice) }
        /// Somebody else holds it.
        public static var busy: Code { .init(.busy) }
        /// The IOVA range overlaps one that is mapped.
        public static var alreadyMapped: Code { .init(.alreadyMapped) }
        /// No free IOVA range, or no memory, is left for the request.
        public static var noSpace: Code { .init(.noSpace) }
        /// The range leaves the region, the buffer or the usable IOVA ranges.
        public static var outOfRange: Code { .init(.outOfRange) }
        /// An address or length is not a multiple of the page size or access width.
        public static var misaligned: Code { .init(.misaligned) }
        /// The memory is a device's, mapped for the CPU; for DMA it goes through a dma-buf.
        public static var deviceMemory: Code { .init(.deviceMemory) }
        /// The dma-buf, or a mapping of it, has been revoked; it can be mapped again.
        public static var revoked: Code { .init(.revoked) }
        /// Memory decode of the device is off, so its BARs do not answer.
        public static var memoryDecodeOff: Code { .init(.memoryDecodeOff) }
        /// The exporting device has been closed: the dma-buf will never be good again.
        public static var exporterClosed: Code { .init(.exporterClosed) }
        /// A limit of the process or of the kernel was reached, such as `RLIMIT_MEMLOCK`.
        public static var limit: Code { .init(.limit) }
        /// The kernel answered with something that it cannot mean: a short read, another unmap size, a broken chain.
        public static var unexpectedAnswer: Code { .init(.unexpectedAnswer) }
        /// Something that was made from this is still alive; the kernel's object ends together with it.
        public static var inUse: Code { .init(.inUse) }
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
