internal import Synchronization

/// Where in this process BARs are mapped for the CPU.
///
/// The kernel would let such memory into a type1 container, and then nothing would tie the mapping to the life of the
/// device that owns the BAR. So the library remembers its own BAR mappings, of all devices, and refuses their addresses.
package enum BARAddresses {
    /// Whose memory it is. Put into words by an error only.
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
        // Beside each other rather than in pairs: what is searched for each mapping is then a few neighbouring words.
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

    /// Whose BAR the memory touches; `nil` when it touches none.
    static func owner(of memory: UnsafeRawBufferPointer) -> Owner? {
        let range = unsafe addresses(of: memory)
        guard !range.isEmpty else { return nil }
        return table.withLock { table in
            for index in table.addresses.indices {
                // None of these is empty, which `overlaps` would ask of each.
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
        return start..<(start + UInt(memory.count))
    }
}
