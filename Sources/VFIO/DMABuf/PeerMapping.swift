internal import Synchronization
internal import SystemPackage

/// Another device's memory, mapped into an address space through a dma-buf until this value is closed or deinitialized.
///
/// The kernel revokes the mapping when the exporter is reset, loses its memory decode or is closed; then DMA of the
/// address space's devices to ``iova`` causes an IOMMU fault. ``state`` reports this, and ``restore(evenIfLive:)`` maps the memory
/// again.
///
/// ```swift
/// let peer = try space.map(window)
/// try gpu.reset()          // peer.state == .revoked
/// try peer.restore()       // peer.state == .live, at the same IOVA
/// ```
public struct PeerMapping: ~Copyable, Sendable {
    /// The address space that the memory is mapped into.
    public let space: AddressSpace
    /// The address of the first byte for the devices of the address space.
    public let iova: IOVA
    /// The length in bytes.
    public let byteCount: UInt64
    /// The access that the devices have.
    public let access: DMAAccess

    private let subject: String
    private let revocation: RevocationTracker?
    // A separate descriptor, so that the mapping can be restored after the DMABuf has been closed.
    private let file: OwnedDescriptor
    private let record: Mutex<Record>
    // Incremented before the record becomes live again, so that a thread that sees the record live also sees this.
    private let restores = Atomic<UInt64>(0)

    // Not private: Swift 6.3.1 otherwise crashes on an optional PeerMapping in another file.
    enum Record: Sendable {
        /// Mapped, in this epoch of the exporter.
        case mapped(epoch: UInt64)
        /// restore() has unmapped it and could not map it again; its IOVA range is still reserved.
        case unmapped
        /// Closed.
        case ended
    }

    init(
        space: AddressSpace, iova: IOVA, byteCount: UInt64, access: DMAAccess, subject: String, epoch: UInt64,
        revocation: RevocationTracker?, file: consuming OwnedDescriptor
    ) {
        self.space = space
        self.iova = iova
        self.byteCount = byteCount
        self.access = access
        self.subject = subject
        self.revocation = revocation
        self.file = file
        self.record = Mutex(.mapped(epoch: epoch))
    }

    /// The state of the mapping, as far as this process knows.
    ///
    /// A revocation is known if this process holds the exporter and caused the revocation through the library. A
    /// mapping of an adopted dma-buf always reports `.live`.
    public var state: RevocationState {
        let current = revocation?.current
        if current?.isClosed == true { return .exporterClosed }
        guard case .mapped(let epoch) = record.withLock({ $0 }) else { return .revoked }
        return epoch == current?.epoch ?? epoch ? .live : .revoked
    }

    /// The number of times that ``restore(evenIfLive:)`` has mapped the memory again. A call without effect does not count.
    ///
    /// A mapping that was revoked and restored during a transfer is `.live` again at its end, although data was lost.
    /// So a driver reads the count before it submits a command. After the completion it reads first ``state``, then the
    /// count: in the other order it can miss a restore between the two.
    ///
    /// ```swift
    /// let count = peer.restoreCount
    /// …                                                                // submit, and wait for the completion
    /// guard peer.state == .live, peer.restoreCount == count else { … } // send it again
    /// ```
    public var restoreCount: UInt64 { restores.load(ordering: .acquiring) }

    /// Unmaps the memory and maps it again at the same IOVA, so that it is live again.
    /// The corresponding request is `IOMMU_IOAS_MAP_FILE`.
    ///
    /// Without `evenIfLive` it has no effect on a mapping that is ``RevocationState/live`` and whose exporter is in this
    /// process; a mapping of an adopted dma-buf is always mapped again.
    ///
    /// - Parameter evenIfLive: Whether to do it whatever this process knows, such as after a reset of the exporter
    ///   outside of the library. During the call the devices' DMA to ``iova`` causes faults.
    /// - Throws: `.memoryDecodeOff` if the exporter's memory does not respond yet, `.revoked` if an exporter in another
    ///   process is still revoked, `.exporterClosed` if the exporter has been closed. After an error the mapping stays
    ///   revoked and ``restore(evenIfLive:)`` can be called again.
    public func restore(evenIfLive: Bool = false) throws(VFIOError) {
        let operation = "restore a mapping of a dma-buf"
        try record.withLock { (record) throws(VFIOError) in
            let current = revocation?.current
            if !evenIfLive { try DMABufRefusal.check(current, operation, subject) }
            if case .mapped(let epoch) = record {
                if epoch == current?.epoch && !evenIfLive { return }
                try space.unmapKeepingAddresses(iova, byteCount: byteCount, operation: operation)
                record = .unmapped
            }
            do throws(Errno) {
                try space.backend.map(dmaBuf: file.descriptor, byteCount: byteCount, at: iova.rawValue, access: access)
            } catch {
                throw DMABufRefusal.map(error, operation: operation, subject: subject, revocation: revocation)
                    ?? VFIOError(refused: error, ABI.Call.mapFile.operation(operation), subject)
            }
            restores.add(1, ordering: .releasing)
            record = .mapped(epoch: current?.epoch ?? 0)
        }
    }

    /// Unmaps the memory and throws the kernel's error. The corresponding request is `IOMMU_IOAS_UNMAP`.
    public consuming func close() throws(VFIOError) {
        try unmap()
    }

    deinit {
        // No effect after close().
        try? unmap()
    }

    private borrowing func unmap() throws(VFIOError) {
        let (space, iova, byteCount) = (space, iova, byteCount)
        try record.withLock { (record) throws(VFIOError) in
            // Set first: the IOVA range is freed once, or never if the kernel refuses.
            let old = record
            record = .ended
            switch old {
            case .mapped: try space.unmap(iova, byteCount: byteCount, operation: "unmap a dma-buf")
            case .unmapped: space.releaseAddresses(at: iova)
            case .ended: break
            }
        }
    }
}
