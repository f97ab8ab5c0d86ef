import VFIO

/// What answers to accesses of BARs on the bus: a device.
protocol BusTarget: AnyObject {
    var address: PCIAddress { get }
    var deviceAddress: DeviceAddress { get }
    /// Where its BARs are on the bus.
    var barAddresses: [Int: UInt64] { get }
    func barSize(_ bar: Int) -> UInt64
    func readBAR(_ bar: Int, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer)
    func writeBAR(_ bar: Int, at offset: UInt64, from buffer: UnsafeRawBufferPointer)
}

/// What a mapping of the IOMMU leads to, page by page in order.
///
/// Memory that came through the seam is held, so that DMA reaches it even after the process has unmapped it. Memory
/// from elsewhere is used where it is.
struct PinnedMemory {
    enum Backing {
        /// Part of a memory object, from an offset in bytes.
        case object(MemoryObject, Int)
        /// Memory of the process, at an address.
        case process(UInt64)
        /// A BAR, from an offset in bytes: what a type1 container maps when it is given a BAR's CPU mapping.
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

    /// How much of it counts against the limit on locked memory: all but BARs, in bytes.
    var accountedByteCount: UInt64 {
        segments.reduce(0) {
            if case .bar = $1.backing { return $0 }
            return $0 + $1.byteCount
        }
    }

    /// The segment that holds an offset, by bisection.
    func segment(at offset: UInt64) -> Segment? {
        var low = 0
        var high = segments.count
        while low < high {
            let middle = (low + high) / 2
            if segments[middle].offset + segments[middle].byteCount <= offset {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return low < segments.count && segments[low].offset <= offset ? segments[low] : nil
    }
}
