internal import SystemPackage

extension AddressSpace {
    /// Maps a dma-buf, so that the devices of this address space access the exporting device directly.
    /// The corresponding request is `IOMMU_IOAS_MAP_FILE`.
    ///
    /// - Parameters:
    ///   - dmaBuf: A dma-buf of one range. It may be closed afterwards; the mapping keeps its own reference.
    ///   - access: The access that the devices get.
    ///   - placement: The placement in the address space.
    /// - Throws: `.unsupported` with type1, which cannot import a dma-buf, and for one of several ranges;
    ///   `.memoryDecodeOff`, `.revoked` and `.exporterClosed` if the exporter does not respond; `.invalidArgument` for
    ///   more access than it was exported with; `.alreadyMapped`, `.outOfRange`, `.misaligned`.
    public func map(
        _ dmaBuf: borrowing DMABuf,
        access: DMAAccess = .readWrite,
        placement: IOVAPlacement = .automatic
    ) throws(VFIOError) -> PeerMapping {
        let operation = "map a dma-buf"
        let subject = dmaBuf.subject
        try requireIOMMU(for: operation)
        guard backend.importsDMABufs else {
            throw VFIOError(
                .unsupported, operation, subject,
                hint: "a \(backend.name) container cannot import a dma-buf; use an address space of an iommufd")
        }
        if let count = dmaBuf.rangeCount, count != 1 {
            throw VFIOError(
                .unsupported, operation, subject,
                hint: "an iommufd imports a dma-buf of one range, and this one has \(count); export them one by one")
        }
        guard dmaBuf.byteCount > 0 else {
            throw VFIOError(.invalidArgument, operation, subject, hint: "it has no bytes")
        }
        // The kernel does not check this: it ignores the access mode of the dma-buf's file.
        if let exported = dmaBuf.access, !access.isSubset(of: exported) {
            throw VFIOError(
                .invalidArgument, operation, subject, hint: "it was exported for \(exported), not for \(access)")
        }
        // Taken before the kernel maps, so that a revocation in between counts.
        let revocation = dmaBuf.revocation
        let current = revocation?.current
        try DMABufRefusal.check(current, operation, subject)
        let file = OwnedDescriptor(try dmaBuf.duplicateDescriptor(), of: kernel)
        let byteCount = dmaBuf.byteCount
        let iova = try place(
            byteCount: byteCount, access: access, placement: placement, alignment: 1,
            preferred: Self.hugeAlignments(of: byteCount, at: dmaBuf.start), operation: operation,
            refusal: { DMABufRefusal.map($0, operation: operation, subject: subject, revocation: revocation) },
            request: { (iova) throws(Errno) in
                try backend.map(dmaBuf: file.descriptor, byteCount: byteCount, at: iova.rawValue, access: access)
            })
        return PeerMapping(
            space: self, iova: iova, byteCount: byteCount, access: access, subject: subject,
            epoch: current?.epoch ?? 0, revocation: revocation, file: file)
    }
}
