internal import SystemPackage

extension Device {
    /// Exports a part of a BAR as a dma-buf (Linux 6.19 and newer).
    /// The corresponding request is `VFIO_DEVICE_FEATURE_DMA_BUF`.
    ///
    /// - Parameters:
    ///   - index: A memory BAR of at least a page.
    ///   - range: In bytes from the start of the BAR, page-aligned at both ends.
    ///   - access: The most that ``AddressSpace/map(_:access:placement:)-(DMABuf,_,_)`` of this process permits. It
    ///     does not limit other importers: the kernel ignores the access mode of the dma-buf's file.
    /// - Throws: `.unsupported` if the kernel or the driver lacks the feature, `.notFound` without such a BAR,
    ///   `.outOfRange`, `.misaligned`, `.invalidArgument` for an empty range.
    public func exportDMABuf(
        of index: RegionIndex, _ range: Range<UInt64>, access: DMAAccess = .readWrite
    ) throws(VFIOError) -> DMABuf {
        try exportDMABuf(of: index, ranges: [range], access: access)
    }

    /// Exports several parts of a BAR as one dma-buf, which is their concatenation in the given order.
    /// The corresponding request is `VFIO_DEVICE_FEATURE_DMA_BUF`.
    ///
    /// An iommufd maps only a dma-buf of one range; other importers may support several.
    public func exportDMABuf(
        of index: RegionIndex, ranges: [Range<UInt64>], access: DMAAccess = .readWrite
    ) throws(VFIOError) -> DMABuf {
        let words = "export a dma-buf"
        let operation = ABI.Call.exportDMABuf.operation(words)
        let subject = "\(index) of \(address)"
        try check(ranges, access, of: index, operation: operation, subject: subject)
        let request = ABI.exportDMABuf(of: index.rawValue, ranges, isWritable: access.contains(.write))
        let descriptor = try request.perform(
            on: core, words, subject,
            refusals: [
                .inappropriateIOCTLForDevice: (
                    .unsupported, "dma-buf export needs Linux 6.19 and CONFIG_VFIO_PCI_DMABUF"
                ),
                .notSupported: (.unsupported, "the device's driver does not offer it"),
                .operationNotSupportedByDevice: (.notFound, "the device has no memory BAR there"),
            ])
        return try DMABuf(
            OwnedDescriptor(descriptor, of: core.kernel), subject: subject, access: access,
            rangeCount: ranges.count, start: ranges[0].lowerBound, revocation: core.revocation)
    }

    private func check(
        _ ranges: [Range<UInt64>], _ access: DMAAccess, of index: RegionIndex, operation: String, subject: String
    ) throws(VFIOError) {
        guard access.contains(.read), access.isSubset(of: .readWrite) else {
            throw VFIOError(
                .invalidArgument, operation, subject, hint: "a dma-buf is for reading, or for reading and writing")
        }
        guard index.isBAR else {
            throw VFIOError(.notFound, operation, subject, hint: "only a BAR can be exported")
        }
        let region = try core.existingRegion(index, for: operation)
        let pageSize = UInt64(core.kernel.pageSize)
        guard !ranges.isEmpty else {
            throw VFIOError(.invalidArgument, operation, subject, hint: "at least one range has to be given")
        }
        for range in ranges {
            guard !range.isEmpty else {
                throw VFIOError(.invalidArgument, operation, subject, hint: "the range \(range) is empty")
            }
            guard range.upperBound <= region.byteCount else {
                throw VFIOError(
                    .outOfRange, operation, subject, hint: "it has \(region.byteCount) bytes, not \(range)")
            }
            guard range.lowerBound.isAligned(to: pageSize), range.upperBound.isAligned(to: pageSize) else {
                throw VFIOError(
                    .misaligned, operation, subject,
                    hint: "both ends of \(range) have to be multiples of \(pageSize)"
                        + (region.byteCount < pageSize ? ", and the BAR is smaller than that" : ""))
            }
        }
    }
}
