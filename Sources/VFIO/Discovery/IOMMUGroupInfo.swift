internal import SystemPackage

/// What sysfs shows of an IOMMU group: its devices on all buses, and the addresses that are reserved.
public struct IOMMUGroupInfo: Sendable, Hashable {
    /// A device of the group.
    public struct Member: Sendable, Hashable {
        /// The kernel's name: the address of a PCI device, the name of one on another bus.
        public let name: String
        /// The driver that it is bound to; `nil` for none.
        public let driver: String?

        /// The address of a PCI device; `nil` for one on another bus.
        public var address: PCIAddress? { PCIAddress(name) }

        /// Whether a program may open the other devices of the group: no kernel driver does DMA with this one.
        public var leavesGroupViable: Bool {
            guard let driver else { return true }
            if address != nil { return DriverName.isHarmless(driver) }
            // VFIO has drivers for other buses, and those of mediated devices are VFIO's.
            return driver.hasPrefix("vfio") || DeviceUUID(name) != nil
        }

        /// The name and the driver, for messages.
        package var holding: String { "\(name) is held by \(driver ?? "")" }
    }

    /// Addresses that are not for mappings, or only for one.
    public struct ReservedRegion: Sendable, Hashable {
        public let addresses: ClosedRange<IOVA>
        /// The kernel's word: `direct`, `direct-relaxable`, `reserved`, `msi`.
        public let type: String

        /// Whether the firmware wants the addresses mapped 1:1 (RMRR, IVMD), so that Linux gives no device of the group
        /// to a program.
        public var isOneToOne: Bool { type == "direct" }

        /// A line of `reserved_regions`: first and last address, type.
        init?(_ line: Substring) {
            let words = line.split(separator: " ")
            guard words.count == 3, let first = UInt64(words[0].dropFirst(2), radix: 16),
                let last = UInt64(words[1].dropFirst(2), radix: 16), first <= last
            else { return nil }
            addresses = IOVA(first)...IOVA(last)
            type = String(words[2])
        }
    }

    /// The addresses that the firmware wants mapped 1:1, for messages; `nil` for none.
    package var oneToOneAddresses: String? {
        let regions = reservedRegions.filter(\.isOneToOne)
        guard !regions.isEmpty else { return nil }
        return regions.map { "\($0.addresses.lowerBound)...\($0.addresses.upperBound)" }.joined(separator: ", ")
    }

    /// The number of the group.
    public let number: Int
    public let members: [Member]
    /// Empty also before Linux 4.12, which does not report them.
    public let reservedRegions: [ReservedRegion]

    init(_ number: Int, kernel: any Kernel) throws(Errno) {
        let folder = FilePath("/sys/kernel/iommu_groups/\(number)")
        let sysfs = Sysfs(kernel: kernel)
        let devices = folder.appending("devices")
        var members: [Member] = []
        for name in try kernel.names(in: devices) {
            let driver =
                if let address = PCIAddress(name) {
                    try sysfs.driver(of: .pci(address))
                } else {
                    try sysfs.linkName(devices.appending(name).appending("driver"))
                }
            members.append(Member(name: name, driver: driver))
        }
        self.number = number
        self.members = members
        do throws(Errno) {
            let text = String(
                decoding: try kernel.readFile(folder.appending("reserved_regions")), as: UTF8.self)
            reservedRegions = text.split(separator: "\n").compactMap(ReservedRegion.init)
        } catch .noSuchFileOrDirectory {
            reservedRegions = []
        }
    }
}

extension PCIBus {
    /// The first two numbers of the kernel's release; `nil` if it cannot be read.
    package var kernelVersion: (major: Int, minor: Int)? {
        guard let bytes = try? kernel.readFile("/proc/sys/kernel/osrelease") else { return nil }
        let numbers = String(decoding: bytes, as: UTF8.self).split { !$0.isNumber }.prefix(2).compactMap { Int($0) }
        return numbers.first.map { ($0, numbers.dropFirst().first ?? 0) }
    }

    /// Whether the kernel gives no device to a program for which the firmware wants a 1:1 mapping.
    package var refusesOneToOneMappings: Bool {
        // Since 6.6 the core refuses; before, only the driver of Intel's IOMMU did.
        guard let version = kernelVersion, version < (6, 6) else { return true }
        return (try? kernel.names(in: "/sys/class/iommu"))?.contains { $0.hasPrefix("dmar") } ?? false
    }

    /// Returns what sysfs shows of an IOMMU group.
    ///
    /// - Throws: `.notFound` if there is no such group.
    public func iommuGroup(_ number: Int) throws(VFIOError) -> IOMMUGroupInfo {
        try attempt(
            "list the devices of an IOMMU group", "IOMMU group \(number)",
            refusals: [.noSuchFileOrDirectory: (.notFound, nil)], IOMMUGroupInfo(number, kernel: kernel))
    }
}
