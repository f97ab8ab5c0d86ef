import SystemPackage

/// An open stream of a device's state: one that gives it, or one that takes it.
final class MigrationFile {
    let isSaving: Bool
    var bytes: [UInt8] = []
    var position = 0
    /// The state that it was made for is over.
    var isDisabled = false
    private let limit: Int
    private let headerByteCount: Int
    private let accepts: ([UInt8]) -> Bool
    /// The device's; `nil` once the device is gone.
    weak var migration: MigrationControl?

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

    func read(into buffer: UnsafeMutableRawBufferPointer) throws(Errno) -> Int {
        if !isSaving { throw .badFileDescriptor }
        if isDisabled { throw .operationNotSupportedByDevice }
        let count = min(buffer.count, bytes.count - position)
        unsafe buffer.copyBytes(from: bytes[position..<position + count])
        position += count
        return count
    }

    func write(_ buffer: UnsafeRawBufferPointer) throws(Errno) -> Int {
        if isSaving { throw .badFileDescriptor }
        if position + buffer.count > limit { throw .noMemory }
        if isDisabled { throw .operationNotSupportedByDevice }
        let hadHeader = bytes.count >= headerByteCount
        unsafe bytes += Array(buffer)
        position += buffer.count
        // What is wrong with the header is told once, and the bytes stay.
        if !hadHeader, bytes.count >= headerByteCount, !accepts(Array(bytes[..<headerByteCount])) {
            throw .badAddress
        }
        return buffer.count
    }
}
