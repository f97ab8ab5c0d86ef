internal import Synchronization
internal import SystemPackage
internal import VFIO

/// A part of a BAR that a guest accesses through a memory slot, and other devices of the guest through the IOMMU.
///
/// The slot is deleted before its CPU mapping: a slot that cannot be deleted keeps it.
final class GuestBARPiece: Sendable {
    /// In bytes from the start of the BAR.
    let range: Range<UInt64>
    let slot: UInt32
    private let machine: VirtualMachine
    private let subject: String
    private let isWritable: Bool
    private let address: UInt64
    /// The other devices' access; `nil` without peers.
    private let peer: Peer?
    private let state: Mutex<State>

    /// The dma-buf of this part, and the address space that it is mapped into.
    final class Peer: Sendable {
        let window: DMABuf
        let space: AddressSpace

        init(_ window: consuming DMABuf, in space: AddressSpace) {
            self.window = window
            self.space = space
        }
    }

    private struct State: ~Copyable, Sendable {
        var mapping: RegionMapping?
        /// The guest address of the slot; `nil` while it is unmapped.
        var place: GuestAddress?
        var peer: PeerMapping?
    }

    init(
        _ range: Range<UInt64>, of region: RegionInfo, slot: UInt32, mapping: consuming RegionMapping,
        peer: Peer?, machine: VirtualMachine, subject: String
    ) {
        self.range = range
        self.slot = slot
        self.machine = machine
        self.subject = subject
        isWritable = region.isWritable
        address = unsafe UInt64(UInt(bitPattern: mapping.bytes.baseAddress))
        self.peer = peer
        state = Mutex(State(mapping: mapping))
    }

    deinit {
        try? end()
        // The guest's processors can still access these addresses: they must never be reused.
        state.withLock { state in
            if let mapping = state.mapping.take() { mapping.abandon() }
        }
    }

    /// Whether it is mapped for the guest.
    var isShown: Bool { state.withLock { $0.place != nil } }

    /// Maps the piece for the guest, only at this address.
    ///
    /// - Parameter bar: The guest address of the BAR. The sum has been checked.
    func map(at bar: GuestAddress) throws(VFIOError) {
        let operation = "show a BAR to the guest"
        let place = GuestAddress(bar.rawValue + range.lowerBound)
        let slot = MemorySlot(
            number: slot, guestAddress: place, byteCount: range.upperBound - range.lowerBound, address: address,
            isWritable: isWritable)
        try state.withLock { (state) throws(VFIOError) in
            if state.place == place { return }
            // It is still mapped if KVM refused to delete the slot before.
            try unmap(&state)
            // First the requests that can be refused without an effect on other mappings.
            if let peer { state.peer = try peer.space.map(peer.window, placement: .fixed(place.iova)) }
            do throws(VFIOError) {
                try machine.set(slot, operation: operation, subject: subject)
            } catch {
                state.peer = nil
                throw error
            }
            state.place = place
        }
    }

    /// Unmaps it for the guest and for the other devices.
    func unmap() throws(VFIOError) {
        try state.withLock { (state) throws(VFIOError) in try unmap(&state) }
    }

    private func unmap(_ state: inout State) throws(VFIOError) {
        if state.place != nil {
            try machine.removeSlot(slot, operation: "hide a BAR from the guest", subject: subject)
            state.place = nil
        }
        if let mapping = state.peer.take() { try mapping.close() }
    }

    /// Restores the other devices' access after a revocation.
    func restore(evenIfLive: Bool) throws(VFIOError) {
        try state.withLock { (state) throws(VFIOError) in try state.peer?.restore(evenIfLive: evenIfLive) }
    }

    /// Whether other devices can access it; `nil` without peers.
    var peerState: RevocationState? { state.withLock { $0.peer?.state } }

    /// Unmaps it for the guest, then closes its CPU mapping, once, and throws the first error.
    func end() throws(VFIOError) {
        var failure: VFIOError?
        do throws(VFIOError) {
            try unmap()
        } catch {
            failure = error
        }
        let unmapping = state.withLock { (state) -> VFIOError? in
            guard state.place == nil, let mapping = state.mapping.take() else { return nil }
            do throws(VFIOError) {
                try mapping.close()
                return nil
            } catch {
                return error
            }
        }
        if let failure = failure ?? unmapping { throw failure }
    }
}
