internal import CVFIO
internal import SystemPackage

// Passing mappings to another process, or to the program that this process executes.
extension DMAMapping {
    /// Invalidates the process address of the memory, while the mapping and the devices' DMA continue
    /// (`VFIO_DMA_UNMAP_FLAG_VADDR`). The corresponding request is `VFIO_IOMMU_UNMAP_DMA`.
    ///
    /// The memory may then be unmapped, and be mapped elsewhere or by another process. Until ``updateVaddr(_:)`` no
    /// device of another group can be opened into the address space.
    ///
    /// - Throws: `.unsupported` without ``Type1Extension/updateVaddr``, and with iommufd; `.invalidArgument` if the
    ///   address is already invalidated.
    public func invalidateVaddr() throws(VFIOError) {
        let words = "give a mapping's address up"
        let operation = ABI.Call.unmapDMA.operation(words)
        let container = try container(for: operation)
        let count = try ABI.unmapDMA(iova.rawValue, byteCount: byteCount, isAddressOnly: true).perform(
            on: container, words, subject,
            refusals: [.invalidArgument: (.invalidArgument, "its address is given up already")]
        ).size
        guard count == byteCount else {
            throw VFIOError(
                .unexpectedAnswer, operation, subject, hint: "it was \(count) bytes instead of \(byteCount)")
        }
    }

    /// Sets the new process address of the memory (`VFIO_DMA_MAP_FLAG_VADDR`).
    /// The corresponding request is `VFIO_IOMMU_MAP_DMA`.
    ///
    /// It must refer to the pages that were mapped: the kernel does not check, and would pin other pages later.
    ///
    /// - Parameter memory: As long as the mapping, page-aligned.
    /// - Throws: `.unsupported` as ``invalidateVaddr()``; `.invalidArgument` if the address was not invalidated, or the
    ///   length differs.
    @unsafe
    public func updateVaddr(_ memory: UnsafeMutableRawBufferPointer) throws(VFIOError) {
        let words = "set a mapping's address"
        let operation = ABI.Call.mapDMA.operation(words)
        let container = try container(for: operation)
        guard UInt64(memory.count) == byteCount else {
            throw VFIOError(
                .invalidArgument, operation, subject, hint: "it has \(byteCount) bytes, not \(memory.count)")
        }
        _ = try unsafe ABI.updateVaddr(UnsafeRawBufferPointer(memory), at: iova.rawValue).perform(
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
