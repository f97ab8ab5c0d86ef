internal import Synchronization
internal import SystemPackage
public import VFIO

/// A BAR of a device, as a virtual machine's guest sees it: memory that it reaches without an exit, until the end of this
/// value's life.
///
/// ```swift
/// let bar = try device.makeGuestBAR(.bar2, of: machine, slots: 16..<20)
/// try bar.map(at: 0xc000_0000)    // the guest has switched memory decode on
/// try bar.move(to: 0xd000_0000)    // … has written another address to the BAR
/// try bar.unmap()                   // … has switched memory decode off
/// ```
///
/// It begins hidden. Each of its ``pieces`` is one memory slot of KVM's, with a mapping of the BAR behind it, which ends after
/// the slot. What is between the pieces is for the monitor to emulate.
///
/// Hide it before memory decode of the *device* goes off: the kernel takes the mappings' memory away then, and a processor of
/// the guest that reaches for it ends its run with `EFAULT`.
///
/// It keeps the device open, and the machine's object alive.
public struct GuestBAR: ~Copyable, Sendable {
    /// Which region of the device it is.
    public let index: RegionIndex
    /// The size of the BAR in bytes.
    public let byteCount: UInt64
    private let machine: VirtualMachine
    private let lease: DeviceLease
    private let state: Mutex<State>

    // Not private, for the same reason as PeerMapping's.
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

    /// The parts that the guest reaches without an exit, in bytes from the start of the BAR.
    public var pieces: [Range<UInt64>] { state.withLock { $0.pieces.map(\.range) } }

    /// The numbers of the memory slots, in the order of ``pieces``.
    public var slots: [UInt32] { state.withLock { $0.pieces.map(\.slot) } }

    /// Where the guest sees the start of the BAR; `nil` while it is hidden.
    public var address: GuestAddress? { state.withLock { $0.address } }

    /// Whether the other devices of the guest reach the BAR: the worst of its pieces. `nil` while it is hidden, and when it
    /// was made without peers.
    public var peerState: RevocationState? {
        let states = state.withLock { $0.pieces.compactMap(\.peerState) }
        if states.isEmpty { return nil }
        if states.contains(.exporterClosed) { return .exporterClosed }
        return states.contains(.revoked) ? .revoked : .live
    }

    /// Lets the guest see the BAR, and with peers its other devices: all of the pieces or none.
    /// The corresponding request is `KVM_SET_USER_MEMORY_REGION`.
    ///
    /// - Parameter address: Where the BAR begins, a multiple of the page size.
    /// - Throws: `.inUse` when it is shown already; `.misaligned`, `.outOfRange`; `.memoryDecodeOff` when the device does not
    ///   answer; `.alreadyMapped` when something of the machine or of the address space is there; `.invalidArgument` for a
    ///   slot that is in use or that the machine does not have.
    public func map(at address: GuestAddress) throws(VFIOError) {
        try state.withLock { (state) throws(VFIOError) in try map(at: address, &state) }
    }

    /// Hides the BAR from the guest and from its other devices.
    ///
    /// Does nothing to one that is hidden. What can be hidden is, also when KVM refuses it for one of the pieces: after such
    /// an error the BAR counts as shown, and can be hidden again.
    public func unmap() throws(VFIOError) {
        try state.withLock { (state) throws(VFIOError) in try unmap(&state) }
    }

    /// Shows the BAR at another address.
    ///
    /// Meanwhile it is nowhere: an access by a processor of the guest is an MMIO exit. If it cannot be at the new address, it
    /// is put back where it was.
    ///
    /// - Throws: As ``map(at:)``; also shows a BAR that is hidden.
    public func move(to address: GuestAddress) throws(VFIOError) {
        try state.withLock { (state) throws(VFIOError) in
            let old = state.address
            if old == address, state.pieces.allSatisfy(\.isShown) { return }
            try check(address)
            do throws(VFIOError) {
                try unmap(&state)
                try map(at: address, &state)
            } catch {
                // Also the pieces that were hidden before one could not be.
                state.address = nil
                if let old { try? map(at: old, &state) }
                throw error
            }
        }
    }

    /// Puts back what the guest's other devices reach, after the device was reset or its memory decode was off while the
    /// BAR was shown (`PeerMapping.restore()`).
    ///
    /// The processors of the guest need nothing of the kind. Does nothing when the BAR is hidden or without peers.
    ///
    /// - Throws: `.memoryDecodeOff` when the device's memory does not answer yet, `.exporterClosed`.
    public func restore() throws(VFIOError) {
        try state.withLock { (state) throws(VFIOError) in
            for piece in state.pieces { try piece.restore() }
        }
    }

    /// Takes the BAR from the guest, gives the slots back, and reports what the kernel said.
    ///
    /// A slot that KVM does not take away keeps its mapping for good, since the guest still reaches it.
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

    /// Does something to all pieces, and throws the first of the errors.
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
    /// Makes a BAR ready to be shown to a virtual machine's guest as memory.
    ///
    /// - Parameters:
    ///   - index: A BAR of a page or more.
    ///   - machine: Whose guest it is for.
    ///   - slots: The numbers of free memory slots, such as a range that the monitor has set aside. One for each of
    ///     ``guestPieces(of:trapping:)`` is taken, in order.
    ///   - trapped: Parts that are to be kept from the guest, in bytes from the start of the BAR, beside the MSI-X table.
    ///   - space: The address space of the guest's devices, when they are to reach the BAR as well: peer-to-peer, through
    ///     a dma-buf for each piece, mapped where the guest's processors see it.
    /// - Throws: `.notFound` without such a BAR; `.unsupported` when no page of it can be mapped, and with peers when the
    ///   address space is type1's or the kernel exports no dma-bufs; `.limit` when there are too few slots.
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
