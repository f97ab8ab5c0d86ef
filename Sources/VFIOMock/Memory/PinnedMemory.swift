import VFIO

/// A device, as the target of accesses to its BARs.
protocol BusTarget: AnyObject {
    var address: PCIAddress { get }
    var deviceAddress: DeviceAddress { get }
    /// The addresses of its BARs on the bus.
    var barAddresses: [Int: UInt64] { get }
    func barSize(_ bar: Int) -> UInt64
    func readBAR(_ bar: Int, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer)
    func writeBAR(_ bar: Int, at offset: UInt64, from buffer: UnsafeRawBufferPointer)
}

/// The pages of an IOMMU mapping, in order.
///
/// Memory that was mapped through the seam is retained, so that DMA reaches it after `munmap`. Other memory is accessed
/// at its address in the process.
struct PinnedMemory {
    enum Backing {
        /// Part of a memory object, from an offset in bytes.
        case object(MemoryObject, Int)
        /// Other memory of the process, at an address.
        case process(UInt64)
        /// A BAR, from an offset in bytes: a type1 container can map a BAR's CPU mapping.
        case bar(any BusTarget, Int, UInt64)
    }

    struct Segment {
        /// Bytes from the start of the mapping.
        let offset: UInt64
        let byteCount: UInt64
        let backing: Backing
    }

    private(set) var segments: [Segment] = []
    private(set) var byteCount: UInt64 = 0

    mutating func append(_ backing: Backing, _ count: UInt64) {
        segments.append(Segment(offset: byteCount, byteCount: count, backing: backing))
        byteCount += count
    }

    /// The bytes that count against the limit on locked memory: all but BARs.
    var accountedByteCount: UInt64 {
        segments.reduce(0) {
            if case .bar = $1.backing { return $0 }
            return $0 + $1.byteCount
        }
    }

    /// The segment that holds an offset.
    func segment(at offset: UInt64) -> Segment? {
        let index = segments.partitionIndex(after: { $0.offset + $0.byteCount <= offset })
        return index < segments.count && segments[index].offset <= offset ? segments[index] : nil
    }
}
