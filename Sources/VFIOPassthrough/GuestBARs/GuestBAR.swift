internal import Synchronization
internal import SystemPackage
public import VFIO

/// A BAR of a device as memory of a guest, accessed without an exit, until this value is closed or deinitialized.
///
/// ```swift
/// let bar = try device.makeGuestBAR(.bar2, of: machine, slots: 16..<20)
/// try bar.map(at: 0xc000_0000)    // the guest has switched memory decode on
/// try bar.move(to: 0xd000_0000)    // … has written another address to the BAR
/// try bar.unmap()                   // … has switched memory decode off
/// ```
///
/// It is unmapped at first. Each of its ``pieces`` is one KVM memory slot, with a CPU mapping of the BAR behind it,
/// which is removed after the slot. The monitor emulates the rest of the BAR.
///
/// Unmap it before memory decode of the *device* goes off: the kernel then revokes the CPU mappings, and a processor of
/// the guest that accesses them stops with `EFAULT`.
///
/// It keeps the device and the machine's object open.
public struct GuestBAR: ~Copyable, Sendable {
    /// The region.
    public let index: RegionIndex
    /// The size of the BAR in bytes.
    public let byteCount: UInt64
    private let machine: VirtualMachine
    private let lease: DeviceLease
    private let state: Mutex<State>

    // Not private, for the same reason as the record of PeerMapping.
    struct State: Sendable {
        var pieces: [GuestBARPiece]
        var address: GuestAddress?
    }

    init(
        _ index: RegionIndex, byteCount: UInt64, _ pieces: [GuestBARPiece], machine: VirtualMachine, lease: DeviceLease
    ) {
        self.index = index
        self.byteCount = byteCount
        self.machine = machine
        self.lease = lease
        state = Mutex(State(pieces: pieces))
    }

    /// The parts that the guest accesses without an exit, in bytes from the start of the BAR.
    public var pieces: [Range<UInt64>] { state.withLock { $0.pieces.map(\.range) } }

    /// The numbers of the memory slots, in the order of ``pieces``.
    public var slots: [UInt32] { state.withLock { $0.pieces.map(\.slot) } }

    /// The guest address of the BAR; `nil` while it is unmapped.
    public var address: GuestAddress? { state.withLock { $0.address } }

    /// Whether the other devices of the guest can access the BAR: the worst state of its pieces. `nil` while it is
    /// unmapped, and if it was made without peers.
    public var peerState: RevocationState? {
        let states = state.withLock { $0.pieces.compactMap(\.peerState) }
        if states.isEmpty { return nil }
        if states.contains(.exporterClosed) { return .exporterClosed }
        return states.contains(.revoked) ? .revoked : .live
    }

    /// Maps the BAR for the guest and, with peers, for its other devices: all of the pieces or none.
    /// The corresponding request is `KVM_SET_USER_MEMORY_REGION`.
    ///
    /// - Parameter address: The guest address of the BAR, a multiple of the page size.
    /// - Throws: `.inUse` if it is already mapped; `.misaligned`, `.outOfRange`; `.memoryDecodeOff` if the device's
    ///   memory does not respond; `.alreadyMapped` if the range is in use in the machine or the address space;
    ///   `.invalidArgument` for a slot that is in use or that the machine does not have.
    public func map(at address: GuestAddress) throws(VFIOError) {
        try state.withLock { (state) throws(VFIOError) in try map(at: address, &state) }
    }

    /// Unmaps the BAR for the guest and for its other devices.
    /// The corresponding request is `KVM_SET_USER_MEMORY_REGION`.
    ///
    /// Has no effect if it is unmapped. If KVM refuses it for a piece, the other pieces are still unmapped: after such
    /// an error the BAR counts as mapped, and can be unmapped again.
    public func unmap() throws(VFIOError) {
        try state.withLock { (state) throws(VFIOError) in try unmap(&state) }
    }

    /// Moves the BAR to another address. The corresponding request is `KVM_SET_USER_MEMORY_REGION`.
    ///
    /// In between it is unmapped: an access of a guest's processor is an MMIO exit. If it cannot be mapped at the new
    /// address, it is mapped at the old one again.
    ///
    /// - Throws: As ``map(at:)``; also maps an unmapped BAR.
    public func move(to address: GuestAddress) throws(VFIOError) {
        try state.withLock { (state) throws(VFIOError) in
            let old = state.address
            if old == address, state.pieces.allSatisfy(\.isShown) { return }
            try check(address)
            do throws(VFIOError) {
                try unmap(&state)
                try map(at: address, &state)
            } catch {
                // Also the pieces that were unmapped before one failed.
                state.address = nil
                if let old { try? map(at: old, &state) }
                throw error
            }
        }
    }

    /// Restores the access of the guest's other devices, after the device was reset or its memory decode was off while
    /// the BAR was mapped (`PeerMapping.restore()`). The corresponding request is `IOMMU_IOAS_MAP_FILE`.
    ///
    /// The processors of the guest do not need this. Has no effect if the BAR is unmapped or without peers.
    ///
    /// - Parameter evenIfLive: Whether to do it whatever this process knows.
    /// - Throws: `.memoryDecodeOff` if the device's memory does not respond yet, `.exporterClosed`.
    public func restore(evenIfLive: Bool = false) throws(VFIOError) {
        try state.withLock { (state) throws(VFIOError) in
            for piece in state.pieces { try piece.restore(evenIfLive: evenIfLive) }
        }
    }

    /// Unmaps the BAR, releases the slots, and throws the kernel's error.
    /// The corresponding request is `KVM_SET_USER_MEMORY_REGION`.
    ///
    /// A slot that KVM does not delete keeps its CPU mapping permanently, since the guest can still access it.
    public consuming func close() throws(VFIOError) {
        let pieces = state.withLock { state in
            defer { state = State(pieces: []) }
            return state.pieces
        }
        try Self.each(of: pieces) { (piece) throws(VFIOError) in try piece.end() }
    }

    // MARK: -

    private borrowing func map(at address: GuestAddress, _ state: inout State) throws(VFIOError) {
        let operation = "show a BAR to the guest"
        if let shown = state.address {
            throw VFIOError(.inUse, operation, subject, hint: "it is shown at \(shown); move it")
        }
        try check(address)
        try lease.core.requireMemory(for: operation)
        var shown: [GuestBARPiece] = []
        do throws(VFIOError) {
            for piece in state.pieces {
                try piece.map(at: address)
                shown.append(piece)
            }
        } catch {
            for piece in shown { try? piece.unmap() }
            throw error
        }
        state.address = address
    }

    private borrowing func unmap(_ state: inout State) throws(VFIOError) {
        try Self.each(of: state.pieces) { (piece) throws(VFIOError) in try piece.unmap() }
        state.address = nil
    }

    /// Calls a closure for all pieces, and throws the first error.
    private static func each(
        of pieces: [GuestBARPiece], _ body: (GuestBARPiece) throws(VFIOError) -> Void
    ) throws(VFIOError) {
        var failure: VFIOError?
        for piece in pieces {
            do throws(VFIOError) {
                try body(piece)
            } catch {
                failure = failure ?? error
            }
        }
        if let failure { throw failure }
    }

    private borrowing func check(_ address: GuestAddress) throws(VFIOError) {
        let operation = "show a BAR to the guest"
        let pageSize = UInt64(machine.kernel.pageSize)
        guard address.rawValue.isAligned(to: pageSize) else {
            throw VFIOError(
                .misaligned, operation, "\(subject) at \(address)",
                hint: "the address has to be a multiple of \(pageSize)")
        }
        guard !address.rawValue.addingReportingOverflow(byteCount).overflow else {
            throw VFIOError(
                .outOfRange, operation, "\(subject) at \(address)", hint: "it would leave the 64-bit space")
        }
    }

    private var subject: String { "\(index) of \(lease.core.address)" }
}

extension Device {
    /// Prepares a BAR for a virtual machine's guest.
    ///
    /// - Parameters:
    ///   - index: A BAR of at least a page.
    ///   - machine: The virtual machine.
    ///   - slots: The numbers of free memory slots, such as a range that the monitor has reserved. One for each of
    ///     ``guestPieces(of:trapping:)`` is used, in order.
    ///   - trapped: Parts to be trapped in addition to the MSI-X table, in bytes from the start of the BAR.
    ///   - space: The address space of the guest's devices, if they are to access the BAR as well: peer-to-peer,
    ///     through a dma-buf for each piece, mapped at the guest address.
    /// - Throws: `.notFound` without such a BAR; `.unsupported` if no page of it can be mapped, and with peers if the
    ///   address space is type1's or the kernel exports no dma-bufs; `.limit` if there are too few slots.
    public func makeGuestBAR(
        _ index: RegionIndex, of machine: VirtualMachine, slots: some Sequence<UInt32>,
        trapping trapped: [Range<UInt64>] = [], peersIn space: AddressSpace? = nil
    ) throws(VFIOError) -> GuestBAR {
        let operation = "make a BAR ready for the guest"
        let subject = "\(index) of \(address)"
        let (region, ranges) = try guestPieces(of: index, trapping: trapped, operation: operation)
        try space?.requireIOMMU(for: operation)
        if space?.interface == .type1 {
            throw VFIOError(
                .unsupported, operation, subject,
                hint:
                    "a type1 container cannot import a dma-buf, so no device of it is to reach a BAR; "
                    + "use an address space of an iommufd, or no peers")
        }
        let numbers = Array(slots.prefix(ranges.count))
        guard numbers.count == ranges.count else {
            throw VFIOError(
                .limit, operation, subject,
                hint: "it takes \(ranges.count) memory slots, and there are \(numbers.count)")
        }
        guard Set(numbers).count == numbers.count else {
            throw VFIOError(.invalidArgument, operation, subject, hint: "a slot is given twice among \(numbers)")
        }
        let lease = DeviceLease(core, for: .mapping(index))
        var pieces: [GuestBARPiece] = []
        for (range, slot) in zip(ranges, numbers) {
            let peer = try space.map { (space) throws(VFIOError) in
                GuestBARPiece.Peer(try exportDMABuf(of: index, range), in: space)
            }
            let mapping = try RegionMapping.map(region, range, of: core, lease: lease)
            pieces.append(
                GuestBARPiece(
                    range, of: region, slot: slot, mapping: mapping, peer: peer, machine: machine, subject: subject))
        }
        return GuestBAR(index, byteCount: region.byteCount, pieces, machine: machine, lease: lease)
    }
}
