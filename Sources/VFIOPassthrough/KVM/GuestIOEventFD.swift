internal import SystemPackage
public import VFIO

/// A guest's writes that KVM and VFIO pass to a device's register by themselves, until the end of this value's life.
/// The corresponding request is `KVM_IOEVENTFD`.
///
/// It owns the `DeviceIOEventFD` that does the writing.
public struct GuestIOEventFD: ~Copyable, Sendable {
    /// Where the guest writes.
    public let address: GuestAddress
    private let machine: VirtualMachine
    private let (value, width, signalled): (UInt64, Int, FileDescriptor)
    // Ended after KVM has let go of it.
    private var event: DeviceIOEventFD?
    private var isOpen = true

    init(
        machine: VirtualMachine, event: consuming DeviceIOEventFD, address: GuestAddress
    ) {
        self.machine = machine
        (value, width, signalled) = (event.value, event.width, event.withEvent { $0 })
        self.event = consume event
        self.address = address
    }

    /// Ends the connection and the writing, and reports what the kernel said.
    public consuming func close() throws(VFIOError) {
        isOpen = false
        try disconnect()
        if let event = event.take() { try event.close() }
    }

    deinit {
        if isOpen { try? disconnect() }
    }

    private borrowing func disconnect() throws(VFIOError) {
        let request = ABI.setIOEventFD(
            signalled, onWriteOf: value, width: width, at: address.rawValue, isEnd: true)
        try request.perform(on: machine, "end the passing of a guest's writes", "\(address)")
    }
}

extension VirtualMachine {
    /// Lets a guest's write of the event's value, with its width, write the device's register, without a way through user
    /// space. The corresponding request is `KVM_IOEVENTFD`.
    ///
    /// It is for a register in a page that the guest does not see as memory (``GuestBAR/pieces``): only writes that would be
    /// MMIO exits come here. Other values still are.
    ///
    /// - Parameters:
    ///   - event: What writes the register. It is the connection's from then on, and ends also when this throws.
    ///   - address: Where the guest sees the register, a multiple of its width.
    /// - Throws: `.misaligned` for an address that no write of the register's width goes to; `.busy` when such writes go to
    ///   another event already.
    public func makeIOEventFD(
        _ event: consuming DeviceIOEventFD, at address: GuestAddress
    ) throws(VFIOError) -> GuestIOEventFD {
        let words = "pass a guest's writes to the device"
        guard address.rawValue.isAligned(to: UInt64(event.width)) else {
            throw VFIOError(
                .misaligned, ABI.Call.setIOEventFD.operation(words), "\(address)",
                hint: "the address has to be a multiple of \(event.width)")
        }
        let request = ABI.setIOEventFD(
            event.withEvent { $0 }, onWriteOf: event.value, width: event.width, at: address.rawValue)
        try request.perform(
            on: self, words, "\(address)", refusals: [.fileExists: (.busy, "this write goes to another event already")])
        return GuestIOEventFD(machine: self, event: event, address: address)
    }
}
