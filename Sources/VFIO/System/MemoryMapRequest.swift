public import SystemPackage

/// The arguments of `mmap(2)`.
public struct MemoryMapRequest: Sendable {
    /// Where the memory comes from.
    public enum Source: Sendable {
        /// Private zeroed memory; in huge pages (`MAP_HUGETLB`) of the given size in bytes if that is set.
        case anonymous(hugePageSize: Int?)
        /// A file or device, from an offset in bytes (`MAP_SHARED`).
        case file(FileDescriptor, offset: UInt64)
    }

    public var byteCount: Int
    public var source: Source
    public var isReadable: Bool
    public var isWritable: Bool
    /// Where the memory is to be, page-aligned: `EEXIST` if something is mapped there (`MAP_FIXED_NOREPLACE`; another
    /// address before Linux 4.17). `nil` lets the kernel choose.
    public var fixedAddress: UInt?

    public init(
        byteCount: Int,
        source: Source,
        isReadable: Bool = true,
        isWritable: Bool = true,
        fixedAddress: UInt? = nil
    ) {
        self.byteCount = byteCount
        self.source = source
        self.isReadable = isReadable
        self.isWritable = isWritable
        self.fixedAddress = fixedAddress
    }
}

extension Kernel {
    /// Maps memory at an address that is `offset` bytes behind a multiple of an alignment, which huge pages of the CPU
    /// and of the IOMMU take; at any page if that is sufficient, or if nothing can be mapped there.
    ///
    /// - Parameters:
    ///   - alignments: Powers of two, the best one first.
    ///   - offset: A multiple of the page size.
    /// - Throws: The error of a mapping without alignment.
    package func map(
        _ request: MemoryMapRequest, alignedTo alignments: [UInt64], offset: UInt64 = 0
    ) throws(Errno) -> UnsafeMutableRawPointer {
        // The kernel aligns to the pages that it maps.
        var page = UInt(pageSize)
        if case .anonymous(let size?) = request.source { page = UInt(size) }
        for alignment in alignments where alignment > page && request.byteCount > 0 {
            if let address = unsafe map(request, page: page, alignment: UInt(alignment), offset: UInt(offset)) {
                return unsafe address
            }
        }
        return try unsafe map(request)
    }

    /// Returns `nil` where the kernel refuses: what it counts against a limit is more than the mapping itself, and pages
    /// of a file may be larger than the alignment.
    private func map(
        _ request: MemoryMapRequest, page: UInt, alignment: UInt, offset: UInt
    ) -> UnsafeMutableRawPointer? {
        let mask = alignment - 1
        guard let count = UInt(request.byteCount).roundedUp(to: page),
            let room = Int(exactly: count.addingReportingOverflow(mask + 1).partialValue), room > count
        else { return nil }
        // Finds free addresses by a mapping that is larger by the alignment. Another thread may take them in between.
        for _ in 0..<8 {
            let reservation = MemoryMapRequest(
                byteCount: room, source: .anonymous(hugePageSize: nil), isReadable: false, isWritable: false)
            guard let whole = try? unsafe map(reservation) else { return nil }
            let start = UInt(bitPattern: whole)
            guard (try? unsafe unmap(UnsafeMutableRawBufferPointer(start: whole, count: room))) != nil else {
                return nil
            }
            let address = start + ((offset &- start) & mask)
            var request = request
            request.fixedAddress = address
            let mapped: UnsafeMutableRawPointer
            do throws(Errno) {
                unsafe mapped = try map(request)
            } catch {
                if error == .fileExists { continue }
                return nil
            }
            if UInt(bitPattern: mapped) == address { return unsafe mapped }
            try? unsafe unmap(UnsafeMutableRawBufferPointer(start: mapped, count: request.byteCount))
        }
        return nil
    }
}
