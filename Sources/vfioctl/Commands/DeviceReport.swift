import VFIO

/// The output of `info`; its fields are those of the JSON.
struct DeviceReport: Encodable {
    struct Region: Encodable {
        let name: String
        let byteCount: UInt64
        let isReadable: Bool
        let isWritable: Bool
        /// The mappable parts, in bytes from the start of the region.
        let mappable: [[UInt64]]
    }

    struct Interrupt: Encodable {
        let name: String
        let count: Int
        let isMaskable: Bool
    }

    struct Addresses: Encodable {
        let first: String
        let last: String
    }

    let address: String
    let interface: String
    let canReset: Bool
    let hotReset: [String]?
    let regions: [Region]
    let interrupts: [Interrupt]
    let features: [String: Bool]
    let iovaRanges: [Addresses]

    init(_ device: borrowing Device, kernel: any Kernel) throws(VFIOError) {
        address = "\(device.address)"
        interface = "\(device.space.interface)"
        canReset = device.info.canReset
        var regions: [Region] = []
        for region in try device.regions() {
            regions.append(
                Region(
                    name: RegionArgument.name(of: region.index), byteCount: region.byteCount,
                    isReadable: region.isReadable, isWritable: region.isWritable,
                    mappable: region.isMappable ? region.mappableAreas.map { [$0.lowerBound, $0.upperBound] } : []))
        }
        self.regions = regions
        var interrupts: [Interrupt] = []
        for (name, index) in Self.interruptNames {
            do throws(VFIOError) {
                let kind = try device.interrupts(index)
                if kind.count > 0 {
                    interrupts.append(Interrupt(name: name, count: kind.count, isMaskable: kind.isMaskable))
                }
            } catch  where error.code == .notFound || error.code == .unsupported || error.code == .kernel {
                // The device has no interrupts of this index; older kernels return an error for it.
                continue
            }
        }
        self.interrupts = interrupts
        do throws(VFIOError) { hotReset = try device.hotResetInfo().functions.map { "\($0.address)" } } catch
            where error.code == .unsupported || error.code == .notFound
        { hotReset = nil }
        var features: [String: Bool] = [:]
        for (name, feature) in Self.featureNames { features[name] = try device.supports(feature) }
        self.features = features
        iovaRanges = try device.space.iovaRanges().map {
            Addresses(first: "\($0.lowerBound)", last: "\($0.upperBound)")
        }
    }

    private static let interruptNames: [(String, InterruptIndex)] = [
        ("intx", .intx), ("msi", .msi), ("msix", .msix), ("error", .error), ("request", .request),
    ]
    private static let featureNames: [(String, DeviceFeature)] = [
        ("dmaBuf", .dmaBuf), ("dmaLogging", .dmaLogging), ("lowPower", .lowPower), ("migration", .migration),
        ("vfToken", .vfToken),
    ]

    // MARK: For people

    func lines(_ style: Style) -> [String] {
        var lines = ["\(style.paint(address, .bold))  through \(interface)", ""]
        var table = Table("REGION", "BYTES", "ACCESS", "CAN BE MAPPED")
        for region in regions {
            let access = (region.isReadable ? "r" : "-") + (region.isWritable ? "w" : "-")
            table.add([region.name, Self.size(region.byteCount), access, Self.areas(region)])
        }
        lines += table.lines(style) + [""]
        lines.append(
            "interrupts   "
                + (interrupts.isEmpty ? "none" : interrupts.map { "\($0.name) \($0.count)" }.joined(separator: ", ")))
        lines.append("reset        " + (canReset ? "alone" : "not alone"))
        if let hotReset { lines.append("hot reset    of \(hotReset.joined(separator: ", ")) together") }
        let has = features.filter(\.value).keys.sorted()
        lines.append("features     " + (has.isEmpty ? "none" : has.joined(separator: ", ")))
        for (number, range) in iovaRanges.enumerated() {
            lines.append((number == 0 ? "DMA          " : "             ") + "\(range.first) to \(range.last)")
        }
        return lines
    }

    private static func areas(_ region: Region) -> String {
        if region.mappable.isEmpty { return "no" }
        if region.mappable == [[0, region.byteCount]] { return "all of it" }
        return region.mappable.map { "0x\(String($0[0], radix: 16))..0x\(String($0[1], radix: 16))" }.joined(
            separator: ", ")
    }

    static func size(_ count: UInt64) -> String {
        for (unit, shift) in [("G", UInt64(30)), ("M", 20), ("K", 10)]
        where count >= 1 << shift && count % (1 << shift) == 0 { return "\(count >> shift)\(unit)" }
        return "\(count)"
    }
}
