/// A dma-buf: ranges of a BAR, exported by vfio-pci.
final class DMABuf {
    struct Range {
        let bar: Int
        let offset: UInt64
        let byteCount: UInt64
    }

    /// The device, for as long as it is open; afterwards the dma-buf is dead for good.
    private(set) var exporter: PCIFunction?
    let ranges: [Range]
    let byteCount: UInt64
    private(set) var isRevoked: Bool
    /// `nil` until it was given one, which may be empty.
    var name: String?
    /// What iommufds made of it.
    private var importers: [PageSource] = []

    init(_ exporter: PCIFunction, _ ranges: [Range], isRevoked: Bool) {
        self.exporter = exporter
        self.ranges = ranges
        self.isRevoked = isRevoked
        byteCount = ranges.reduce(0) { $0 + $1.byteCount }
    }

    /// Revokes it, so that every import is dead for good; or makes the dma-buf good for new imports.
    func move(revoked: Bool) {
        guard revoked != isRevoked else { return }
        if revoked {
            for importer in importers { importer.isRevoked = true }
            importers = []
        }
        isRevoked = revoked
    }

    func addImporter(_ source: PageSource) { importers.append(source) }

    func removeImporter(_ source: PageSource) { importers.removeAll { $0 === source } }

    /// The device is closed.
    func exporterClosed() {
        move(revoked: true)
        exporter = nil
    }
}
