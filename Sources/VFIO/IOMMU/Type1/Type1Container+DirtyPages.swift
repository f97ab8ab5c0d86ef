internal import CVFIO
internal import Synchronization
internal import SystemPackage

extension Type1Container {
    func startDirtyTracking(_ operation: String) throws(VFIOError) {
        let isFirst = state.withLock { state in
            guard !state.isTracking else { return false }
            state.isTracking = true
            return true
        }
        guard isFirst else {
            throw VFIOError(.busy, operation, Type1Info.subject, hint: "its pages are tracked already")
        }
        do throws(Errno) {
            try dirtyPages(CVFIO_IOMMU_DIRTY_PAGES_FLAG_START)
        } catch {
            endTracking()
            throw VFIOError(.kernel, operation, Type1Info.subject, errno: error)
        }
    }

    func stopDirtyTracking() throws(VFIOError) {
        defer { endTracking() }
        do throws(Errno) {
            try dirtyPages(CVFIO_IOMMU_DIRTY_PAGES_FLAG_STOP)
        } catch {
            throw VFIOError(
                .kernel, "stop tracking dirty pages (VFIO_IOMMU_DIRTY_PAGES)", Type1Info.subject, errno: error)
        }
    }

    private func dirtyPages(_ flag: UInt32) throws(Errno) {
        var request = cvfio_iommu_type1_dirty_bitmap()
        request.argsz = UInt32(MemoryLayout<cvfio_iommu_type1_dirty_bitmap>.size)
        request.flags = flag
        _ = try kernel.control(descriptor, CVFIO_IOMMU_DIRTY_PAGES, with: &request)
    }

    func readDirtyPages(_ bitmap: borrowing DirtyBitmapRequest, _ operation: String) throws(VFIOError) {
        let size = MemoryLayout<cvfio_iommu_type1_dirty_bitmap>.size
        var header = cvfio_iommu_type1_dirty_bitmap()
        let buffer = unsafe RequestBuffer(
            byteCount: size + MemoryLayout<cvfio_iommu_type1_dirty_bitmap_get>.size)
        header.argsz = UInt32(buffer.byteCount)
        header.flags = CVFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP
        buffer.store(header, at: 0)
        buffer.store(bitmap.iova, at: size)
        buffer.store(bitmap.byteCount, at: size + 8)
        Self.store(bitmap, in: buffer, at: size + 16)
        do throws(Errno) {
            _ = try kernel.control(descriptor, CVFIO_IOMMU_DIRTY_PAGES, with: buffer)
        } catch {
            throw VFIOError(
                error == .invalidArgument ? .outOfRange : .kernel, operation, Self.subject(bitmap), errno: error,
                hint: error == .invalidArgument ? "the range may not begin or end inside a mapping" : nil)
        }
    }

    func unmapReadingDirtyPages(_ bitmap: borrowing DirtyBitmapRequest, _ operation: String) throws(VFIOError) {
        typealias Header = cvfio_iommu_type1_dma_unmap
        let size = MemoryLayout<Header>.size
        let buffer = unsafe RequestBuffer(byteCount: size + MemoryLayout<cvfio_bitmap>.size)
        var header = Header()
        header.argsz = UInt32(buffer.byteCount)
        header.flags = CVFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP
        header.iova = bitmap.iova
        header.size = bitmap.byteCount
        buffer.store(header, at: 0)
        Self.store(bitmap, in: buffer, at: size)
        let unmapped: UInt64
        do throws(Errno) {
            unmapped = try unmap(buffer)
        } catch {
            throw VFIOError(.kernel, operation, Self.subject(bitmap), errno: error)
        }
        guard unmapped == bitmap.byteCount else {
            throw VFIOError(
                .unexpectedAnswer, operation, Self.subject(bitmap),
                hint: "\(unmapped) bytes were unmapped instead of \(bitmap.byteCount)")
        }
    }

    /// Stores a `cvfio_bitmap`.
    private static func store(
        _ bitmap: borrowing DirtyBitmapRequest, in buffer: borrowing RequestBuffer, at offset: Int
    ) {
        buffer.store(bitmap.pageSize, at: offset)
        buffer.store(UInt64(bitmap.room.byteCount), at: offset + 8)
        unsafe buffer.store(UInt64(UInt(bitPattern: bitmap.room.bytes.baseAddress)), at: offset + 16)
    }

    private static func subject(_ bitmap: borrowing DirtyBitmapRequest) -> String {
        "IOVA \(IOVA(bitmap.iova))...\(IOVA(bitmap.iova + (bitmap.byteCount - 1)))"
    }
}
