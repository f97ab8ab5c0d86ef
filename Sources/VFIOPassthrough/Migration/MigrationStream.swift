internal import SystemPackage
public import VFIO

/// An open stream of a device's state, read in ``MigrationState/stopCopy`` and the PRE_COPY states, and written in
/// ``MigrationState/resuming``.
///
/// What is in it is the driver's business: only a device of the same kind can take it. The stream is over when the device
/// goes on to another state, and is closed at the end of this value's life.
public struct MigrationStream: ~Copyable, Sendable {
    private let descriptor: OwnedDescriptor
    private let device: String

    init(_ descriptor: consuming OwnedDescriptor, of device: String) {
        self.descriptor = descriptor
        self.device = device
    }

    /// Reads what comes next, as `read(2)`.
    ///
    /// - Parameter byteCount: How many bytes at most. More than 64 MiB are not read at once, whatever is asked for.
    /// - Returns: The bytes. None at the end; in a PRE_COPY state none as well when there is nothing now (`ENOMSG`), and
    ///   more may come later.
    /// - Throws: `.revoked` when the device has gone on to a state in which the stream is over, `.invalidArgument` for a
    ///   `byteCount` below 1.
    public func read(upTo byteCount: Int) throws(VFIOError) -> [UInt8] {
        let operation = "read the device's state (read)"
        guard byteCount > 0 else {
            throw VFIOError(.invalidArgument, operation, device, hint: "\(byteCount) bytes are no room")
        }
        let room = min(byteCount, Self.mostAtOnce)
        var bytes = [UInt8](repeating: 0, count: room)
        let count: Int
        do throws(Errno) {
            var span = bytes.mutableSpan
            count = try unsafe span.withUnsafeMutableBytes { (buffer) throws(Errno) in
                try unsafe descriptor.kernel.read(descriptor.descriptor, into: buffer)
            }
        } catch .noMessage {
            // The end for now, of the PRE_COPY states; the real end is a read of nothing.
            return []
        } catch {
            throw VFIOError(refused: error, operation, device, Self.refusals)
        }
        guard (0...room).contains(count) else {
            throw VFIOError(
                .unexpectedAnswer, operation, device, hint: "\(count) bytes were read into room for \(room)")
        }
        bytes.removeLast(room - count)
        return bytes
    }

    private static let mostAtOnce = 64 << 20

    /// Writes all of the bytes, as `write(2)` as often as it takes.
    ///
    /// - Throws: `.noSpace` when it is more than the device takes, `.revoked` when the device has gone on to a state in
    ///   which the stream is over, `.kernel` when the driver does not take it for the state of such a device.
    public func write(_ bytes: [UInt8]) throws(VFIOError) {
        let operation = "write the device's state (write)"
        var done = 0
        while done < bytes.count {
            let count = try unsafe attempt(
                operation, device, refusals: Self.refusals,
                bytes.span.extracting(done..<bytes.count).withUnsafeBytes { (rest) throws(Errno) in
                    try unsafe descriptor.kernel.write(descriptor.descriptor, from: rest)
                })
            guard (1...bytes.count - done).contains(count) else {
                throw VFIOError(
                    .unexpectedAnswer, operation, device, hint: "\(count) of \(bytes.count - done) bytes were written")
            }
            done += count
        }
    }

    /// About how much is left to read. Linux 6.2 and newer. The corresponding request is `VFIO_MIG_GET_PRECOPY_INFO`.
    ///
    /// - Throws: `.kernel` with `EINVAL` outside the PRE_COPY states, `.unsupported` for a stream that has no such
    ///   information, `.revoked` when the stream is over.
    public func preCopyProgress() throws(VFIOError) -> PreCopyProgress {
        let progress = try ABI.getPreCopyProgress().perform(
            on: descriptor, "ask what is left to copy", device,
            lacking: "only a stream that was begun with PRE_COPY has it", refusals: Self.refusals)
        return PreCopyProgress(
            initialByteCount: progress.initial, dirtyByteCount: progress.dirty,
            isReinitialized: progress.isReinitialized)
    }

    /// Closes the stream and reports what the kernel said.
    public consuming func close() throws(VFIOError) {
        let device = device
        try descriptor.close("close the stream", device)
    }

    private static var refusals: [Errno: Refusal] {
        [
            .operationNotSupportedByDevice: (
                .revoked, "the device has gone on to another state, or was reset, and the stream is over"
            ),
            .noMemory: (.noSpace, "it is more than the device has room for"),
            .badFileDescriptor: (
                .invalidArgument, "a stream of RESUMING is only written, and the others are only read"
            ),
        ]
    }
}
