import CBaseline
import Harness
import VFIO

/// Mapping memory for DMA and unmapping it: the same memory in an address space of the library and in one of C, each with a
/// device of its own behind the same IOMMU.
enum MapBenchmark {
    private static let sizes: [(name: String, byteCount: UInt64)] = [("4k", 4096), ("2m", 2 << 20), ("1g", 1 << 30)]

    static func run(_ interface: AddressSpace.Interface) throws {
        let space = try AddressSpace(interface)
        let device = try Device(at: "0000:00:02.0", in: space)
        var other = baseline_space()
        var otherDevice = baseline_device()
        guard baseline_open_space(interface == .iommufd, &other) == 0,
            baseline_open_device(&other, "0000:00:03.0", 2, &otherDevice) == 0, let memory = baseline_memory(1 << 30)
        else { throw BaselineFailure() }
        defer {
            baseline_close_device(&otherDevice)
            baseline_close_space(&other)
        }
        for (name, byteCount) in sizes {
            let buffer = UnsafeMutableRawBufferPointer(start: memory, count: Int(byteCount))
            // Where a careful C program would put it: at a multiple of the largest huge page.
            let iova: UInt64 = 1 << 30
            let row = Row("map-\(name)-\(interface)", "map and unmap") { count in
                do {
                    for _ in 0..<count { try space.map(buffer).close() }
                } catch {
                    fatalError("\(error)")
                }
            } baseline: { count in
                guard baseline_map_unmap(&other, memory, byteCount, iova, Int64(count)) == 0 else { fatalError() }
            }
            row.measure(total: byteCount > 1 << 21 ? 12_000_000_000 : 6_000_000_000)
        }
        try device.close()
    }
}
