public import VFIO

/// Ends a command whose device the host wants back, has found an error of, or has lost.
///
/// A host that unbinds or unplugs a device waits until every program has closed it, so a command that runs for long calls
/// ``check()`` in its loop, and ``look()`` after each wait. What it throws ends the command, and that closes the device.
public struct HostCheck: ~Copyable, Sendable {
    private let watch: DeviceWatch
    private let address: DeviceAddress
    private var calls: UInt8 = 0

    public init(_ device: borrowing Device) throws(VFIOError) {
        watch = try device.watch()
        address = device.address
    }

    /// Looks at every 256th call, because a look takes two system calls.
    @inline(__always)
    public mutating func check() throws {
        calls &+= 1
        if calls == 0 { try look() }
    }

    /// Throws if there is an event of the device.
    public func look() throws {
        if let event = try watch.poll() { throw Ending(event: event, address: address) }
    }

    /// Ends the check, before the device is closed.
    public consuming func close() throws(VFIOError) { try watch.close() }

    /// Why a command ended.
    public struct Ending: Error, CustomStringConvertible {
        let event: DeviceEvent
        let address: DeviceAddress

        public var description: String { "\(address): \(event)" }
    }
}
