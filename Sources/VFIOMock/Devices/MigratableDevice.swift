/// A device whose state can be taken from it and given to another one of its kind: migration, as VFIO has it.
///
/// The mock keeps the migration state and the streams, as the kernel's sample driver mtty does; a model tells what is in
/// the streams. All optional states are there (P2P, PRE_COPY), and a log of DMA, which stays empty.
public protocol MigratableDevice: MockDevice {
    /// What a stream begins with, ready before the device has stopped. Of the same length at all times.
    var streamHeader: [UInt8] { get }

    /// What follows once the device has stopped. Of the same length at all times.
    var streamState: [UInt8] { get }

    /// Whether another device's stream header is one that this device can go on from.
    func accepts(streamHeader: [UInt8]) -> Bool

    /// Takes another device's ``streamState`` over, which has the right length.
    mutating func load(streamState: [UInt8])
}
