internal import SystemPackage

extension AddressSpace {
    /// Maps a dma-buf, so that the devices of this address space reach the exporting device directly
    /// (`IOMMU_IOAS_MAP_FILE`).
    ///
    /// - Parameters:
    ///   - dmaBuf: Of one range. It may be closed afterwards; the mapping holds the memory by itself.
    ///   - access: What the devices may do.
    ///   - placement: Where the devices see the memory.
    /// - Throws: `.unsupported` with type1, which cannot import a dma-buf, and for one of several ranges;
    ///   `.memoryDecodeOff`, `.revoked` and `.dead` when the exporter does not answer; `.alreadyMapped`, `.outOfRange`,
    ///   `.misaligned`.
    public func map(
        _ dmaBuf: borrowing DMABuf,
        access: DMAAccess = .readWrite,
        placement: IOVAPlacement = .automatic
    ) throws(VFIOError) -> PeerMapping {
        let operation = "map a dma-buf"
        let subject = dmaBuf.subject
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
        // Taken before the kernel maps: a revocation in between then counts, rather than being missed.
        let revocation = dmaBuf.revocation
        let current = revocation?.current
        if current?.isClosed == true { throw DMABufRefusal.dead(operation, subject) }
        if current?.isMemoryOn == false { throw DMABufRefusal.memoryDecodeOff(operation, subject) }
        let file = OwnedDescriptor(try dmaBuf.duplicateDescriptor(), of: kernel)
        let byteCount = dmaBuf.byteCount
        let reservation = try reserve(placement, byteCount: byteCount, alignment: 1, operation: operation)
        do throws(Errno) {
            try backend.map(
                dmaBuf: file.descriptor, byteCount: byteCount, at: reservation.iova.rawValue, access: access)
        } catch {
            cancel(reservation)
            if error == .fileExists || error == .addressInUse {
                throw refusal(error, byteCount: byteCount, at: reservation.iova, operation: operation)
            }
            throw DMABufRefusal.map(error, operation: operation, subject: subject, revocation: revocation)
        }
        confirm(reservation, byteCount: byteCount)
        return PeerMapping(
            space: self, iova: reservation.iova, byteCount: byteCount, access: access, subject: subject,
            epoch: current?.epoch ?? 0, revocation: revocation, file: file)
    }
}
