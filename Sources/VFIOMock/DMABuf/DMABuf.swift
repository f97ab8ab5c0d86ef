internal import CVFIO
import SystemPackage
import VFIO

protocol DMABufExporter: BusTarget {
    /// The last reference to the dma-buf was dropped.
    func exportWasReleased(_ buffer: DMABuf)
}

protocol DMABufImporter: AnyObject {
    /// The memory is revoked for this import, permanently.
    func importWasRevoked()
}

/// A dma-buf: ranges of a BAR, exported by vfio-pci; or a framebuffer of a virtual GPU, which is never revoked.
final class DMABuf: FileOperations {
    struct Range {
        let bar: Int
        let offset: UInt64
        let byteCount: UInt64
    }

    /// The device until it is closed; afterwards the dma-buf stays revoked. `nil` for a framebuffer.
    private(set) weak var exporter: (any DMABufExporter)?
    let ranges: [Range]
    let byteCount: UInt64
    private(set) var isRevoked = false
    private let exporterName: String
    /// `nil` until it is set; it may be set to an empty one.
    private var name: String?
    private var importers: [ObjectIdentifier: any DMABufImporter] = [:]

    init(_ exporter: any DMABufExporter, _ ranges: [Range], isRevoked: Bool) {
        self.exporter = exporter
        self.ranges = ranges
        self.isRevoked = isRevoked
        byteCount = ranges.reduce(0) { $0 + $1.byteCount }
        exporterName = "vfio_pci_core"
    }

    /// A framebuffer.
    init(byteCount: Int, exporterName: String) {
        ranges = []
        self.byteCount = UInt64(byteCount)
        self.exporterName = exporterName
    }

    // MARK: Revocation

    /// Revokes all imports permanently, or allows new imports again.
    func move(revoked: Bool) {
        guard revoked != isRevoked else { return }
        isRevoked = revoked
        guard revoked else { return }
        for importer in importers.values { importer.importWasRevoked() }
        importers = [:]
    }

    func addImporter(_ importer: any DMABufImporter) { importers[ObjectIdentifier(importer)] = importer }

    func removeImporter(_ importer: any DMABufImporter) { importers[ObjectIdentifier(importer)] = nil }

    func exporterWasClosed() {
        move(revoked: true)
        exporter = nil
    }

    // MARK: As a file

    var kind: MockOpenFile.Kind { .dmaBuf(name: name ?? "") }
    var isStream: Bool { true }
    func size() throws(Errno) -> UInt64 { byteCount }

    func control(_ request: UInt, _ argument: Argument) throws(Errno) -> Int {
        switch request {
        case CDMA_BUF_IOCTL_SYNC:
            let sync = try argument.load(cdma_buf_sync())
            if sync.flags & ~CDMA_BUF_SYNC_VALID_FLAGS_MASK != 0 || sync.flags & CDMA_BUF_SYNC_RW == 0 {
                throw .invalidArgument
            }
        case CDMA_BUF_SET_NAME_A, CDMA_BUF_SET_NAME_B: name = try argument.text(limit: Int(CDMA_BUF_NAME_LEN))
        default: throw .inappropriateIOCTLForDevice
        }
        return 0
    }

    /// vfio-pci has no mmap; the samples open their dma-bufs for reading, and map them only for writing as well.
    func map(_ request: MemoryMapRequest, at offset: UInt64) throws(Errno) -> UnsafeMutableRawPointer {
        throw .invalidArgument
    }

    func information(_ file: OpenFile) -> String {
        "size:\t\(byteCount)\ncount:\t\(file.referenceCount)\nexp_name:\t\(exporterName)\n"
            + (name.map { "name:\t\($0)\n" } ?? "")
    }

    func release() { exporter?.exportWasReleased(self) }
}
