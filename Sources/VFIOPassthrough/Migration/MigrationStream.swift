internal import SystemPackage
public import VFIO

/// An open stream of a device's state, read in ``MigrationState/stopCopy`` and the PRE_COPY states, and written in
/// ``MigrationState/resuming``.
///
/// The driver defines its contents: only a device of the same type can load it. The stream ends when the device changes
/// to another state, and is closed when this value is closed or deinitialized.
public struct MigrationStream: ~Copyable, Sendable {
    private let descriptor: OwnedDescriptor
    private let device: String

    init(_ descriptor: consuming OwnedDescriptor, of device: String) {
        self.descriptor = descriptor
        self.device = device
    }

    /// Reads the next bytes, as `read(2)`.
    ///
    /// - Parameter byteCount: The maximum number of bytes. One call reads at most 64 MiB.
    /// - Returns: The bytes; empty at the end, and in a PRE_COPY state also if there are none now (`ENOMSG`), after
    ///   which more may follow.
    /// - Throws: `.revoked` if the device has changed to a state that ends the stream, `.invalidArgument` for a
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
            // The temporary end in the PRE_COPY states; the final end is a read of 0 bytes.
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

    /// Writes all of the bytes, with as many calls of `write(2)` as needed.
    ///
    /// - Throws: `.noSpace` if it is more than the device accepts, `.revoked` if the device has changed to a state that
    ///   ends the stream, `.kernel` if the driver does not accept it as the state of such a device.
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

    /// Returns the estimated remaining length. Linux 6.2 and newer.
    /// The corresponding request is `VFIO_MIG_GET_PRECOPY_INFO`.
    ///
    /// - Throws: `.kernel` with `EINVAL` outside the PRE_COPY states, `.unsupported` for a stream without such
    ///   information, `.revoked` if the stream has ended.
    public func preCopyProgress() throws(VFIOError) -> PreCopyProgress {
        let progress = try ABI.getPreCopyProgress().perform(
            on: descriptor, "ask what is left to copy", device,
            lacking: "only a stream that was begun with PRE_COPY has it", refusals: Self.refusals)
        return PreCopyProgress(
            initialByteCount: progress.initial, dirtyByteCount: progress.dirty,
            isReinitialized: progress.isReinitialized)
    }

    /// Closes the stream and throws the kernel's error.
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
