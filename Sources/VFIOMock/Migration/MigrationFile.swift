internal import CVFIO
import SystemPackage

/// A migration stream of a device, for saving or for resuming.
final class MigrationFile: FileOperations {
    private let isSaving: Bool
    var bytes: [UInt8] = []
    private var position = 0
    /// Whether the device has left the state of the stream.
    private var isDisabled = false
    private let limit: Int
    private let headerByteCount: Int
    private let accepts: ([UInt8]) -> Bool
    /// `nil` once the device was removed.
    private weak var migration: MigrationControl?

    init(
        isSaving: Bool, limit: Int, headerByteCount: Int, of migration: MigrationControl,
        accepts: @escaping ([UInt8]) -> Bool
    ) {
        self.isSaving = isSaving
        self.limit = limit
        self.headerByteCount = headerByteCount
        self.migration = migration
        self.accepts = accepts
    }

    func disable() {
        isDisabled = true
        bytes = []
        position = 0
    }

    var kind: MockOpenFile.Kind { .migration }
    var isStream: Bool { true }

    func read(into buffer: UserBuffer, at position: inout UInt64) throws(Errno) -> Int {
        if !isSaving { throw .badFileDescriptor }
        if isDisabled { throw .operationNotSupportedByDevice }
        let count = min(buffer.count, bytes.count - self.position)
        try buffer.store(Array(bytes[self.position..<self.position + count]))
        self.position += count
        return count
    }

    func write(from buffer: UserBuffer, at position: inout UInt64) throws(Errno) -> Int {
        if isSaving { throw .badFileDescriptor }
        if buffer.count > limit - self.position { throw .noMemory }
        if isDisabled { throw .operationNotSupportedByDevice }
        let hadHeader = bytes.count >= headerByteCount
        bytes += try buffer.bytes(buffer.count)
        self.position += buffer.count
        // A bad header is reported once, and its bytes stay.
        if !hadHeader, bytes.count >= headerByteCount, !accepts(Array(bytes[..<headerByteCount])) {
            throw .badAddress
        }
        return buffer.count
    }

    /// `VFIO_MIG_GET_PRECOPY_INFO`.
    func control(_ request: UInt, _ argument: Argument) throws(Errno) -> Int {
        guard isSaving, request == CVFIO_MIG_GET_PRECOPY_INFO else { throw .inappropriateIOCTLForDevice }
        var info = try argument.loadSized(cvfio_precopy_info())
        let state = migration?.state
        guard state == CVFIO_DEVICE_STATE_PRE_COPY || state == CVFIO_DEVICE_STATE_PRE_COPY_P2P else {
            throw .invalidArgument
        }
        if isDisabled { throw .operationNotSupportedByDevice }
        info.flags = 0
        info.initial_bytes = UInt64(bytes.count - position)
        info.dirty_bytes = 0
        try argument.store(info)
        return 0
    }
}
