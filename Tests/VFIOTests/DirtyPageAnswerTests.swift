@testable import VFIO

/// Dirty pages of a container over a kernel that refuses, or answers what it cannot mean.
@Suite struct DirtyPageAnswerTests {
    private let kernel = ScriptedKernel.machine()

    init() {
        kernel.answerType1Info {
            var bytes = Bytes(ranges: 1, next: 56, [0x1000, 0xffff_ffff])
            bytes.raw += Bytes(capability: CVFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, [0, 0, 4096, 0, 1 << 28, 0]).raw
            return bytes
        }
        kernel.accept(CVFIO_IOMMU_DIRTY_PAGES)
    }

    private func memory() -> UnsafeMutableRawBufferPointer { .allocate(byteCount: 8192, alignment: 4096) }

    @Test func aRefusedStartIsNoTracking() throws {
        let space = try AddressSpace(.type1, kernel: kernel)
        let device = try Device(at: ScriptedKernel.address, in: space)
        kernel.expectRefusals(of: CVFIO_IOMMU_DIRTY_PAGES, [.noMemory: .kernel]) { _ = try space.startDirtyTracking() }
        kernel.accept(CVFIO_IOMMU_DIRTY_PAGES)
        let tracking = try space.startDirtyTracking()
        try closeAll(tracking, device)
    }

    @Test func aGroupThatLeftMeanwhileIsLetGoAfterARefusedStart() throws {
        let space = try AddressSpace(.type1, kernel: kernel)
        let container = try space.requireContainer(for: "test")
        let device = try Device(at: ScriptedKernel.address, in: space)
        let core = device.core
        kernel.answer(CVFIO_IOMMU_DIRTY_PAGES) { (_) throws(Errno) in
            // The last device leaves while the kernel still thinks about it.
            try? core.endOwnership()
            throw .noMemory
        }
        #expect(throws: VFIOError.self) { _ = try space.startDirtyTracking() }
        #expect(container.groupDescriptor(5) == nil)
        #expect(kernel.openNames == ["/dev/vfio/vfio"])
        try? device.close()
    }

    @Test(arguments: [0, 4096, 12288] as [UInt64])
    func anotherNumberOfBytesThanTheMappingsIsAnError(_ count: UInt64) throws {
        let space = try AddressSpace(.type1, kernel: kernel)
        let device = try Device(at: ScriptedKernel.address, in: space)
        let tracking = try space.startDirtyTracking()
        let memory = memory()
        defer { memory.deallocate() }
        let mapping = try space.map(memory)
        kernel.accept(CVFIO_IOMMU_UNMAP_DMA, cvfio_iommu_type1_dma_unmap.self) { $0.size = count }
        #expect(Self.code(unmapping: mapping, tracking) == .unexpectedAnswer)
        try closeAll(tracking, device)
    }

    private static func code(
        unmapping mapping: consuming DMAMapping, _ tracking: borrowing DirtyTracking
    ) -> VFIOError.Code? {
        do throws(VFIOError) {
            _ = try tracking.unmap(mapping)
            return nil
        } catch { return error.code }
    }
}
