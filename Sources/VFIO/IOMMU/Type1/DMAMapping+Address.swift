internal import SystemPackage

// How a process hands its mappings to its successor: the program that it executes, or another process.
extension DMAMapping {
    /// Gives the process's address of the memory up, while the mapping and the devices' DMA go on
    /// (`VFIO_DMA_UNMAP_FLAG_VADDR`). The corresponding request is `VFIO_IOMMU_UNMAP_DMA`.
    ///
    /// The memory may then be unmapped, and be mapped elsewhere or by another process. Until ``updateVaddr(_:)`` no device
    /// of another group can be opened into the address space.
    ///
    /// - Throws: `.unsupported` without ``Type1Extension/updateVaddr``, and with iommufd; `.invalidArgument` when the
    ///   address is given up already.
    public func invalidateVaddr() throws(VFIOError) {
        let words = "give a mapping's address up"
        let operation = ABI.Call.unmapDMA.operation(words)
        let container = try container(for: operation)
        let count = try ABI.unmapDMA(iova.rawValue, byteCount: byteCount, isAddressOnly: true).perform(
            on: container, words, subject,
            refusals: [.invalidArgument: (.invalidArgument, "its address is given up already")])
        guard count == byteCount else {
            throw VFIOError(
                .unexpectedAnswer, operation, subject, hint: "it was \(count) bytes instead of \(byteCount)")
        }
    }

    /// Tells the kernel where the memory is now (`VFIO_DMA_MAP_FLAG_VADDR`).
    /// The corresponding request is `VFIO_IOMMU_MAP_DMA`.
    ///
    /// The pages have to be the ones that were mapped: the kernel does not look, and later pins would find others.
    ///
    /// - Parameter memory: As long as the mapping, page-aligned.
    /// - Throws: `.unsupported` as ``invalidateVaddr()``; `.invalidArgument` when the address was not given up, or the
    ///   length is another.
    @unsafe
    public func updateVaddr(_ memory: UnsafeMutableRawBufferPointer) throws(VFIOError) {
        let words = "set a mapping's address"
        let operation = ABI.Call.mapDMA.operation(words)
        let container = try container(for: operation)
        guard UInt64(memory.count) == byteCount else {
            throw VFIOError(
                .invalidArgument, operation, subject, hint: "it has \(byteCount) bytes, not \(memory.count)")
        }
        try unsafe ABI.updateVaddr(UnsafeRawBufferPointer(memory), at: iova.rawValue).perform(
            on: container, words, subject,
            refusals: [
                .invalidArgument: (.invalidArgument, "its address was not given up, or the new one is misaligned")
            ])
    }

    private var subject: String { "IOVA \(iova)...\(IOVA(iova.rawValue + (byteCount - 1)))" }

    private func container(for operation: String) throws(VFIOError) -> Type1Container {
        let container = try space.requireContainer(for: operation)
        guard try container.hasExtension(.updateVaddr) else {
            throw VFIOError(
                .unsupported, operation, Type1Info.subject,
                hint: "the kernel lacks it, or there is a mediated device, which rules it out")
        }
        return container
    }
}
