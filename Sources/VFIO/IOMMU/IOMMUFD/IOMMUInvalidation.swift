internal import CVFIO
internal import SystemPackage

/// What the hardware is to forget of a guest's page tables, in order (`IOMMU_HWPT_INVALIDATE`).
public enum IOMMUInvalidation: Sendable, Hashable {
    /// Parts of the address space of a ``NestedPageTable``.
    case intelVTD([VTDInvalidation])
    /// Commands of the queue of a ``VirtualIOMMU``. Stream numbers in them are those of its ``VirtualDevice``s.
    case armSMMUv3([SMMUCommand])
    /// Of a kind that this library has no word for: the kernel's number for it, and entries of one length.
    case other(type: UInt32, entries: [[UInt8]])

    private static let operation = "invalidate translations (IOMMU_HWPT_INVALIDATE)"
    /// The kernel takes no more at once.
    private static let largestCount = 1 << 19
    private static let largestEntry = 4096

    func perform(on object: IOMMUFDObject, _ subject: String) throws(InvalidationFailure) {
        let (type, count, size) = shape
        guard count <= Self.largestCount else {
            throw Self.invalid(subject, "\(Self.largestCount) entries are the most at once")
        }
        if case .other(_, let entries) = self, count > 0 {
            guard (1...Self.largestEntry).contains(size), entries.allSatisfy({ $0.count == size }) else {
                throw Self.invalid(subject, "entries are of one length, of 1 to \(Self.largestEntry) bytes")
            }
        }
        let data = RequestBuffer(byteCount: count * size)
        fill(data, size)
        var request = ciommu_hwpt_invalidate()
        request.size = UInt32(MemoryLayout<ciommu_hwpt_invalidate>.size)
        request.hwpt_id = object.id
        request.data_uptr = count > 0 ? data.address : 0
        request.data_type = type
        request.entry_len = UInt32(size)
        request.entry_num = UInt32(count)
        do throws(Errno) {
            _ = try object.file.kernel.control(object.file.descriptor, CIOMMU_HWPT_INVALIDATE, with: &request)
        } catch {
            let isLacking = error == .notSupported || error == .inappropriateIOCTLForDevice
            // A kernel that lacks the request has not touched the number, and so did nothing.
            let handled = error == .inappropriateIOCTLForDevice ? 0 : min(Int(request.entry_num), count)
            throw InvalidationFailure(
                handledCount: handled,
                cause: VFIOError(
                    isLacking ? .unsupported : error == .invalidArgument ? .invalidArgument : .kernel, Self.operation,
                    subject, errno: error,
                    hint: isLacking ? "the kernel (Linux 6.8) or the IOMMU takes no such entries here" : nil))
        }
        guard Int(request.entry_num) == count else {
            throw InvalidationFailure(
                handledCount: min(Int(request.entry_num), count),
                cause: VFIOError(
                    .unexpectedAnswer, Self.operation, subject,
                    hint: "the kernel says that \(request.entry_num) of \(count) entries were done, and no error"))
        }
    }

    private static func invalid(_ subject: String, _ hint: String) -> InvalidationFailure {
        InvalidationFailure(handledCount: 0, cause: VFIOError(.invalidArgument, operation, subject, hint: hint))
    }

    /// The kernel's type, how many entries, and the bytes of each.
    private var shape: (type: UInt32, count: Int, size: Int) {
        switch self {
        case .intelVTD(let entries):
            (CIOMMU_HWPT_INVALIDATE_DATA_VTD_S1, entries.count, MemoryLayout<ciommu_hwpt_vtd_s1_invalidate>.size)
        case .armSMMUv3(let commands):
            (
                CIOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3, commands.count,
                MemoryLayout<ciommu_viommu_arm_smmuv3_invalidate>.size
            )
        case .other(let type, let entries): (type, entries.count, entries.first?.count ?? 0)
        }
    }

    private func fill(_ data: borrowing RequestBuffer, _ size: Int) {
        switch self {
        case .intelVTD(let entries):
            for (index, entry) in entries.enumerated() { data.store(entry.entry, at: index * size) }
        case .armSMMUv3(let commands):
            for (index, command) in commands.enumerated() {
                data.store(command.first.littleEndian, at: index * size)
                data.store(command.second.littleEndian, at: index * size + 8)
            }
        case .other(_, let entries):
            for (index, entry) in entries.enumerated() {
                for (offset, byte) in entry.enumerated() { data.store(byte, at: index * size + offset) }
            }
        }
    }
}
