internal import Synchronization

/// The process's CPU mappings of BARs.
///
/// The kernel would accept such memory in a type1 container, and the mapping could then outlive the device that owns
/// the BAR. So the library records its BAR mappings of all devices, and refuses their addresses.
package enum BARAddresses {
    /// The BAR that the memory belongs to; only an error formats it.
    package enum Owner: CustomStringConvertible {
        case region(RegionIndex, of: DeviceAddress)
        case virtualIOMMU

        package var description: String {
            switch self {
            case .region(let region, let device): "\(region) of \(device)"
            case .virtualIOMMU: "registers of a virtual IOMMU"
            }
        }
    }

    private struct Table {
        // A separate array, so that the search before each mapping touches only a few adjacent words.
        var addresses: [Range<UInt>] = []
        var owners: [Owner] = []
    }

    private static let table = Mutex(Table())

    package static func insert(_ memory: UnsafeMutableRawBufferPointer, owner: Owner) {
        let range = unsafe addresses(of: UnsafeRawBufferPointer(memory))
        table.withLock { table in
            table.addresses.append(range)
            table.owners.append(owner)
        }
    }

    package static func remove(_ memory: UnsafeMutableRawBufferPointer) {
        let range = unsafe addresses(of: UnsafeRawBufferPointer(memory))
        table.withLock { table in
            guard let index = table.addresses.firstIndex(of: range) else { return }
            table.addresses.remove(at: index)
            table.owners.remove(at: index)
        }
    }

    /// Returns the BAR that the memory overlaps; `nil` if none.
    static func owner(of memory: UnsafeRawBufferPointer) -> Owner? {
        let range = unsafe addresses(of: memory)
        guard !range.isEmpty else { return nil }
        return table.withLock { table in
            for index in table.addresses.indices {
                // Compared by hand: none of the ranges is empty, which `overlaps` would check for each.
                let known = table.addresses[index]
                if known.lowerBound < range.upperBound, range.lowerBound < known.upperBound {
                    return table.owners[index]
                }
            }
            return nil
        }
    }

    private static func addresses(of memory: UnsafeRawBufferPointer) -> Range<UInt> {
        let start = UInt(bitPattern: memory.baseAddress)
        let (end, overflow) = start.addingReportingOverflow(UInt(memory.count))
        return start..<(overflow ? .max : end)
    }
}
