public import SystemPackage

extension AddressSpace {
    /// Maps a part of a file in memory, as `memfd_create(2)` makes them.
    /// The corresponding request is `IOMMU_IOAS_MAP_FILE`.
    ///
    /// Who has the file sees what the devices see, in this process and in others. The mapping holds the memory by itself:
    /// the descriptor may be closed.
    ///
    /// - Parameters:
    ///   - file: A memfd, or a file of tmpfs or hugetlbfs. Of other files the pages cannot be pinned.
    ///   - range: The part in bytes, page-aligned on both sides.
    ///   - access: What the devices may do.
    ///   - placement: Where the devices see it.
    /// - Throws: `.unsupported` with type1, which maps such memory by its address, and before Linux 6.13;
    ///   `.invalidArgument` for a file of another kind or a range beyond its end, which a kernel finds only once a device
    ///   is there; `.misaligned`, `.alreadyMapped`, `.outOfRange`, `.limit`.
    public func map(
        file: FileDescriptor,
        _ range: Range<UInt64>,
        access: DMAAccess = .readWrite,
        placement: IOVAPlacement = .automatic
    ) throws(VFIOError) -> DMAMapping {
        let operation = ABI.Call.mapFile.operation("map a file")
        let subject = "bytes \(range.lowerBound)..<\(range.upperBound) of descriptor \(file.rawValue)"
        let context = try requireIOMMUFD(for: operation)
        guard !range.isEmpty else {
            throw VFIOError(.invalidArgument, operation, subject, hint: "a mapping has at least one page")
        }
        let pageSize = knownAlignment
        guard range.lowerBound.isAligned(to: pageSize), range.upperBound.isAligned(to: pageSize) else {
            throw VFIOError(
                .misaligned, operation, subject, hint: "both ends have to be multiples of \(pageSize)")
        }
        let byteCount = range.upperBound - range.lowerBound
        let iova = try place(
            byteCount: byteCount, access: access, placement: placement, alignment: 1, operation: operation,
            refusal: { errno in
                let refusals: [Errno: Refusal] = [
                    .inappropriateIOCTLForDevice: (.unsupported, "it needs Linux 6.13"),
                    .invalidArgument: (.invalidArgument, "it is no file in memory, or the range leaves it"),
                ]
                return refusals[errno].map { VFIOError($0.code, operation, subject, errno: errno, hint: $0.hint) }
            },
            request: { (iova) throws(Errno) in
                try context.map(
                    file: file, from: range.lowerBound, byteCount: byteCount, at: iova.rawValue, access: access)
            })
        return DMAMapping(space: self, iova: iova, byteCount: byteCount)
    }

    /// Maps here what is mapped in another address space of the same iommufd.
    /// The corresponding request is `IOMMU_IOAS_COPY`.
    ///
    /// The memory is pinned and accounted once, and stays pinned until the last of its mappings ends.
    ///
    /// - Parameters:
    ///   - source: In a sibling (``makeSibling()``) of this address space, or in this one.
    ///   - access: What the devices may do: no more than with the source.
    ///   - placement: Where the devices see it.
    /// - Throws: `.unsupported` with type1; `.invalidArgument` when the source is elsewhere; `.permissionDenied` for a
    ///   writable copy of what is mapped for reading; `.alreadyMapped`, `.outOfRange`.
    public func copy(
        _ source: borrowing DMAMapping, access: DMAAccess = .readWrite, placement: IOVAPlacement = .automatic
    ) throws(VFIOError) -> DMAMapping {
        try copy(
            from: source.space, at: source.iova, byteCount: source.byteCount, access: access, placement: placement)
    }

    /// Maps here the memory of a buffer that is mapped in another address space of the same iommufd.
    /// The corresponding request is `IOMMU_IOAS_COPY`.
    ///
    /// The devices of this address space reach the memory until the copy ends, also when the buffer has ended before.
    public func copy(
        _ source: borrowing DMABuffer, access: DMAAccess = .readWrite, placement: IOVAPlacement = .automatic
    ) throws(VFIOError) -> DMAMapping {
        try copy(
            from: source.space, at: source.iova, byteCount: UInt64(source.byteCount), access: access,
            placement: placement)
    }

    private func copy(
        from source: AddressSpace, at origin: IOVA, byteCount: UInt64, access: DMAAccess, placement: IOVAPlacement
    ) throws(VFIOError) -> DMAMapping {
        let operation = ABI.Call.copyMapping.operation("copy a mapping")
        let subject = "IOVA \(origin)...\(IOVA(origin.rawValue + (byteCount - 1)))"
        let context = try requireIOMMUFD(for: operation)
        guard let other = source.backend as? IOMMUFDContext, other.file === context.file else {
            throw VFIOError(
                .invalidArgument, operation, subject,
                hint: "the source is not in the same iommufd; see makeSibling()")
        }
        let iova = try place(
            byteCount: byteCount, access: access, placement: placement, alignment: 1, operation: operation,
            refusal: { errno in
                guard errno == .notPermitted else { return nil }
                return VFIOError(
                    .permissionDenied, operation, subject, errno: errno, hint: "the source is mapped for reading only")
            },
            request: { (iova) throws(Errno) in
                try ABI.copyMapping(
                    to: context.ioas, at: iova.rawValue, from: other.ioas, origin.rawValue, byteCount: byteCount,
                    isReadable: access.contains(.read), isWritable: access.contains(.write)
                ).perform(on: context)
            })
        return DMAMapping(space: self, iova: iova, byteCount: byteCount)
    }
}
