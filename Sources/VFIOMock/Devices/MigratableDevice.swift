/// A device whose state can be migrated to another device of its type.
///
/// The mock keeps the migration state and the streams, as the kernel's sample driver mtty does; a model supplies the
/// contents of the streams. All optional states are supported (P2P, PRE_COPY), and DMA logging, whose log stays empty.
public protocol MigratableDevice: MockDevice {
    /// The start of a stream, available before the device has stopped. Its length is constant.
    var streamHeader: [UInt8] { get }

    /// The rest of a stream, available once the device has stopped. Its length is constant.
    var streamState: [UInt8] { get }

    /// Returns whether the device can resume from a stream with this header.
    func accepts(streamHeader: [UInt8]) -> Bool

    /// Loads another device's ``streamState``, which has the right length.
    mutating func load(streamState: [UInt8])
}
