internal import VFIO

/// The checks of a guest's memory before the first request.
enum GuestMemoryLayout {
    /// Throws if the ranges cannot all be mapped.
    ///
    /// - Parameters:
    ///   - wanted: The ranges.
    ///   - present: The existing ranges of the guest.
    ///   - allowed: The ranges that the IOMMU translates, sorted and disjoint.
    static func check(
        _ wanted: [GuestMemoryRange], beside present: [ClosedRange<UInt64>], allowed: [ClosedRange<IOVA>],
        alignment: UInt64, operation: String
    ) throws(VFIOError) {
        var taken = present
        for range in wanted {
            guard range.byteCount > 0 else {
                throw VFIOError(.invalidArgument, operation, range.subject, hint: "a range has at least one page")
            }
            let first = range.address.rawValue
            guard !first.addingReportingOverflow(range.byteCount - 1).overflow else {
                throw VFIOError(.outOfRange, operation, range.subject, hint: "the range leaves the 64-bit space")
            }
            guard !range.access.isEmpty, range.access.isSubset(of: .readWrite) else {
                throw VFIOError(
                    .invalidArgument, operation, range.subject, hint: "memory is for reading, writing or both")
            }
            try checkAlignment(range, alignment, operation: operation)
            let addresses = range.addresses
            if let other = taken.first(where: { $0.overlaps(addresses) }) {
                throw VFIOError(
                    .alreadyMapped, operation, range.subject,
                    hint: "\(describe(other)) is memory of the guest already, or asked for twice")
            }
            taken.append(addresses)
            try checkHoles(range, allowed, operation: operation)
        }
    }

    private static func checkAlignment(
        _ range: GuestMemoryRange, _ alignment: UInt64, operation: String
    ) throws(VFIOError) {
        var alignment = alignment
        var start: UInt64 = 0
        switch range.source {
        case .new(let pages): alignment = max(alignment, UInt64(pages.byteCount ?? 1))
        case .file(_, let offset): start = offset
        case .memory(let address): start = UInt64(address)
        }
        guard (range.address.rawValue | range.byteCount | start).isAligned(to: alignment) else {
            throw VFIOError(
                .misaligned, operation, range.subject,
                hint: "the address, the length, and where the memory begins have to be multiples of \(alignment)")
        }
    }

    private static func checkHoles(
        _ range: GuestMemoryRange, _ allowed: [ClosedRange<IOVA>], operation: String
    ) throws(VFIOError) {
        let addresses = range.addresses
        var next: UInt64? = 0
        // The holes are before each allowed range, and after the last one.
        for one in allowed {
            if let start = next, start < one.lowerBound.rawValue {
                try refuse(range, hitting: start...(one.lowerBound.rawValue - 1), operation: operation)
            }
            next = one.upperBound.rawValue == .max ? nil : one.upperBound.rawValue + 1
        }
        if let start = next, addresses.upperBound >= start {
            throw VFIOError(
                .outOfRange, operation, range.subject,
                hint: "it hits \(describe(start...(.max))), beyond what the IOMMU of the devices translates")
        }
    }

    private static func refuse(
        _ range: GuestMemoryRange, hitting hole: ClosedRange<UInt64>, operation: String
    ) throws(VFIOError) {
        guard range.addresses.overlaps(hole) else { return }
        throw VFIOError(
            .outOfRange, operation, range.subject,
            hint: "it hits \(describe(hole)), which the devices cannot reach (on x86 interrupts are written to "
                + "0xfee00000); leave a hole there")
    }

    private static func describe(_ range: ClosedRange<UInt64>) -> String {
        "\(range.lowerBound.hexadecimal)...\(range.upperBound.hexadecimal)"
    }
}

extension GuestMemoryRange {
    /// The guest addresses, inclusive. The range has been checked not to wrap and not to be empty.
    var addresses: ClosedRange<UInt64> { address.rawValue...(address.rawValue + (byteCount - 1)) }

    /// The description in errors, valid for unchecked ranges.
    var subject: String { "\(byteCount) bytes at guest address \(address)" }
}
