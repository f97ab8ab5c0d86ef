internal import Synchronization
internal import SystemPackage

/// Another device's memory, mapped into an address space through a dma-buf, until the end of this value's life.
///
/// The kernel takes the mapping's memory away when the exporter is reset, switched off or closed; then the devices of the
/// address space take an IOMMU fault at ``iova``. ``state`` tells, and ``restore()`` puts it back.
///
/// ```swift
/// let peer = try space.map(window)
/// try gpu.reset()          // peer.state == .revoked
/// try peer.restore()       // peer.state == .live, at the same IOVA
/// ```
public struct PeerMapping: ~Copyable, Sendable {
    /// The address space that the memory is mapped into.
    public let space: AddressSpace
    /// Where the devices of the address space see the memory.
    public let iova: IOVA
    /// The length in bytes.
    public let byteCount: UInt64
    /// What the devices may do.
    public let access: DMAAccess

    private let subject: String
    private let revocation: RevocationTracker?
    // A descriptor of its own, so that the mapping can be restored after the DMABuf has been closed.
    private let file: OwnedDescriptor
    private let record: Mutex<Record>
    // Grows before the record says that the mapping is live again, so that who has seen that sees this, too.
    private let restores = Atomic<UInt64>(0)

    // Not private: Swift 6.3.1 breaks off on an optional PeerMapping in another file otherwise.
    enum Record: Sendable {
        /// The kernel has the mapping, made in this epoch of the exporter.
        case mapped(epoch: UInt64)
        /// A restore() has unmapped it and could not map it again; its place is still held.
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

    /// What has become of the mapping, as far as this process knows.
    ///
    /// A revocation is known if this process holds the exporter and caused it through the library. Of a dma-buf from
    /// elsewhere, `.live` is all that is ever known.
    public var state: RevocationState {
        let current = revocation?.current
        if current?.isClosed == true { return .exporterClosed }
        guard case .mapped(let epoch) = record.withLock({ $0 }) else { return .revoked }
        return epoch == current?.epoch ?? epoch ? .live : .revoked
    }

    /// How often ``restore()`` has had the kernel map the memory anew. A call that found nothing to do does not count.
    ///
    /// A mapping that was revoked and restored during a transfer is `.live` again at its end, and yet data was lost. So a
    /// driver notes the count before it submits a command. After the completion it looks at ``state`` first and at the count
    /// second: the other way round, a restore between the two shows in neither.
    ///
    /// ```swift
    /// let count = peer.restoreCount
    /// …                                                                // submit, and wait for the completion
    /// guard peer.state == .live, peer.restoreCount == count else { … } // send it again
    /// ```
    public var restoreCount: UInt64 { restores.load(ordering: .acquiring) }

    /// Unmaps the memory and maps it again at the same place, so that it is live again.
    /// The corresponding request is `IOMMU_IOAS_MAP_FILE`.
    ///
    /// Does nothing to a mapping that is live, unless its exporter is elsewhere: then it is always done.
    ///
    /// - Throws: `.memoryDecodeOff` when the exporter's memory does not answer yet, `.revoked` when an exporter elsewhere
    ///   is still revoked, `.exporterClosed` when the exporter has been closed. After an error the mapping stays revoked and can be
    ///   tried again.
    public func restore() throws(VFIOError) {
        let operation = "restore a mapping of a dma-buf"
        try record.withLock { (record) throws(VFIOError) in
            let current = revocation?.current
            if current?.isClosed == true { throw DMABufRefusal.dead(operation, subject) }
            if current?.isMemoryOn == false { throw DMABufRefusal.memoryDecodeOff(operation, subject) }
            if case .mapped(let epoch) = record {
                if epoch == current?.epoch { return }
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

    /// Unmaps the memory and reports what the kernel said.
    public consuming func close() throws(VFIOError) {
        try unmap()
    }

    deinit {
        // After close() this finds nothing left to do.
        try? unmap()
    }

    private borrowing func unmap() throws(VFIOError) {
        let (space, iova, byteCount) = (space, iova, byteCount)
        try record.withLock { (record) throws(VFIOError) in
            // Ended first: its place is given back once, or never if the kernel refuses.
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
