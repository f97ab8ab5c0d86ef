internal import CVFIO
internal import SystemPackage
internal import VFIO

/// Invalidations of the hardware's caches of a guest's page tables, in order.
/// The corresponding request is `IOMMU_HWPT_INVALIDATE`.
public enum IOMMUInvalidation: Sendable, Hashable {
    /// Ranges of the address space of a ``NestedPageTable``.
    case intelVTD([VTDInvalidation])
    /// Commands of the queue of a ``VirtualIOMMU``. Their stream IDs are those of its ``VirtualDevice``s.
    case armSMMUv3([SMMUCommand])
    /// An unrecognised type: the kernel's number for it, and entries of equal length.
    case other(type: UInt32, entries: [[UInt8]])

    private static var operation: String { ABI.Call.invalidate.operation("invalidate translations") }
    /// The kernel's maximum per request.
    private static let largestCount = 1 << 19
    private static let largestEntry = 4096

    func perform(on object: IOMMUFDObject, _ subject: String) throws(InvalidationFailure) {
        let (count, size) = shape
        guard count <= Self.largestCount else {
            throw Self.invalid(subject, "\(Self.largestCount) entries are the most at once")
        }
        if case .other(_, let entries) = self, count > 0 {
            guard (1...Self.largestEntry).contains(size), entries.allSatisfy({ $0.count == size }) else {
                throw Self.invalid(subject, "entries are of one length, of 1 to \(Self.largestEntry) bytes")
            }
        }
        let result = ABI.invalidate(object.id, entries, count: count, size: size, on: object.file)
        if let errno = result.failure {
            throw InvalidationFailure(
                handledCount: result.handledCount,
                cause: ABI.Call.invalidate.failure(
                    errno, Self.operation, subject,
                    lacking: "the kernel (Linux 6.8) or the IOMMU takes no such entries here",
                    [.invalidArgument: (.invalidArgument, nil)]))
        }
        guard result.handledCount == count else {
            throw InvalidationFailure(
                handledCount: min(result.handledCount, count),
                cause: VFIOError(
                    .unexpectedAnswer, Self.operation, subject,
                    hint: "the kernel says that \(result.handledCount) of \(count) entries were done, and no error"))
        }
    }

    private static func invalid(_ subject: String, _ hint: String) -> InvalidationFailure {
        InvalidationFailure(handledCount: 0, cause: VFIOError(.invalidArgument, operation, subject, hint: hint))
    }

    /// The number of entries, and the size of each in bytes.
    private var shape: (count: Int, size: Int) {
        switch self {
        case .intelVTD(let entries): (entries.count, MemoryLayout<ciommu_hwpt_vtd_s1_invalidate>.size)
        case .armSMMUv3(let commands): (commands.count, MemoryLayout<ciommu_viommu_arm_smmuv3_invalidate>.size)
        case .other(_, let entries): (entries.count, entries.first?.count ?? 0)
        }
    }

    /// The kernel's type number, and all entries concatenated.
    private var entries: ABI.TypedData {
        switch self {
        case .intelVTD(let entries): (CIOMMU_HWPT_INVALIDATE_DATA_VTD_S1, ABI.bytes(entries.map(\.entry)))
        case .armSMMUv3(let commands):
            (
                CIOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3,
                ABI.bytes(commands.flatMap { [$0.first.littleEndian, $0.second.littleEndian] })
            )
        case .other(let type, let entries): (type, entries.flatMap { $0 })
        }
    }
}
