package import SystemPackage
package import VFIO
package import VFIOPassthrough

/// What a test closes.
package protocol Closable: ~Copyable {
    consuming func close() throws
}

/// Closes several, in this order.
package func closeAll<A: Closable & ~Copyable, B: Closable & ~Copyable>(_ a: consuming A, _ b: consuming B) throws {
    try a.close()
    try b.close()
}

package func closeAll<A: Closable & ~Copyable, B: Closable & ~Copyable, C: Closable & ~Copyable>(
    _ a: consuming A, _ b: consuming B, _ c: consuming C
) throws {
    try closeAll(a, b)
    try c.close()
}

package func closeAll<
    A: Closable & ~Copyable, B: Closable & ~Copyable, C: Closable & ~Copyable, D: Closable & ~Copyable
>(
    _ a: consuming A, _ b: consuming B, _ c: consuming C, _ d: consuming D
) throws {
    try closeAll(a, b)
    try closeAll(c, d)
}

package func closeAll<
    A: Closable & ~Copyable, B: Closable & ~Copyable, C: Closable & ~Copyable, D: Closable & ~Copyable,
    E: Closable & ~Copyable
>(_ a: consuming A, _ b: consuming B, _ c: consuming C, _ d: consuming D, _ e: consuming E) throws {
    try closeAll(a, b)
    try closeAll(c, d, e)
}

/// The error that closing it gives.
package func failure<Owner: Closable & ~Copyable, Failure: Error>(
    closing owner: consuming Owner, as type: Failure.Type = VFIOError.self
) -> Failure? {
    do {
        try owner.close()
        return nil
    } catch {
        return error as? Failure
    }
}

extension DMABuf: Closable {}
extension DMABuffer: Closable {}
extension DMALog: Closable {}
extension DMAMapping: Closable {}
extension Device: Closable {}
extension DeviceWatch: Closable {}
extension DirtyTracking: Closable {}
extension DeviceRegistration: Closable {}
extension GuestIOEventFD: Closable {}
extension FaultQueue: Closable {}
extension FileDescriptor: Closable {}
extension GuestBAR: Closable {}
extension GuestMemory: Closable {}
extension HardwarePageTable: Closable {}
extension HardwareQueue: Closable {}
extension IRQFD: Closable {}
extension InterruptVector: Closable {}
extension InterruptVectors: Closable {}
extension MappedRegion: Closable {}
extension MigrationStream: Closable {}
extension NestedPageTable: Closable {}
extension PeerMapping: Closable {}
extension RegisterBank: Closable {}
extension DeviceIOEventFD: Closable {}
extension NoIOMMUBuffer: Closable {}
extension NoIOMMUMapping: Closable {}
extension VirtualDevice: Closable {}
extension VirtualEventQueue: Closable {}
extension VirtualIOMMU: Closable {}
extension WakeupEvent: Closable {}
