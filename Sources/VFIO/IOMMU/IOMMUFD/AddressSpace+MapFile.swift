public import SystemPackage

extension AddressSpace {
    /// Maps a part of a file in memory, such as `memfd_create(2)` creates.
    /// The corresponding request is `IOMMU_IOAS_MAP_FILE`.
    ///
    /// This process and others that map the file share the memory with the devices. The mapping keeps its own
    /// reference: the descriptor may be closed.
    ///
    /// - Parameters:
    ///   - file: A memfd, or a file of tmpfs or hugetlbfs. The pages of other files cannot be pinned.
    ///   - range: The part in bytes, page-aligned at both ends.
    ///   - access: The access that the devices get.
    ///   - placement: The placement in the address space.
    /// - Throws: `.unsupported` with type1, which maps such memory by its address, and before Linux 6.13;
    ///   `.invalidArgument` for a file of another type or a range beyond its end, which a kernel detects only once a
    ///   device is attached; `.misaligned`, `.alreadyMapped`, `.outOfRange`, `.limit`.
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
            byteCount: byteCount, access: access, placement: placement, alignment: 1,
            preferred: Self.hugeAlignments(of: byteCount, at: range.lowerBound), operation: operation,
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

    /// Maps memory here that is mapped in another address space of the same iommufd.
    /// The corresponding request is `IOMMU_IOAS_COPY`.
    ///
    /// The memory is pinned and accounted once, and stays pinned until its last mapping is closed.
    ///
    /// - Parameters:
    ///   - source: A mapping in a sibling (``makeSibling()``) of this address space, or in this one.
    ///   - access: The access that the devices get: at most that of the source.
    ///   - placement: The placement in the address space.
    /// - Throws: `.unsupported` with type1; `.invalidArgument` if the source is in another iommufd; `.permissionDenied`
    ///   for a writable copy of a read-only mapping; `.alreadyMapped`, `.outOfRange`.
    public func copy(
        _ source: borrowing DMAMapping, access: DMAAccess = .readWrite, placement: IOVAPlacement = .automatic
    ) throws(VFIOError) -> DMAMapping {
        try copy(
            from: source.space, at: source.iova, byteCount: source.byteCount, access: access, placement: placement)
    }

    /// Maps the memory of a buffer here that is mapped in another address space of the same iommufd.
    /// The corresponding request is `IOMMU_IOAS_COPY`.
    ///
    /// The devices of this address space can access the memory until the copy is closed, even if the buffer is closed
    /// before.
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
            byteCount: byteCount, access: access, placement: placement, alignment: 1,
            preferred: Self.hugeAlignments(of: byteCount, at: origin.rawValue), operation: operation,
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
