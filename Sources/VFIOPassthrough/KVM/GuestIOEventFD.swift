internal import SystemPackage
public import VFIO

/// An ioeventfd that passes a guest's writes to a device's register in the kernel, until this value is closed or
/// deinitialized. The corresponding request is `KVM_IOEVENTFD`.
///
/// It owns the `DeviceIOEventFD` that writes the register.
public struct GuestIOEventFD: ~Copyable, Sendable {
    /// The guest address of the register.
    public let address: GuestAddress
    private let machine: VirtualMachine
    private let (value, width, signalled): (UInt64, Int, FileDescriptor)
    // Closed after KVM no longer uses it.
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

    /// Removes both ioeventfds and throws the kernel's error.
    /// The corresponding requests are `KVM_IOEVENTFD` and `VFIO_DEVICE_IOEVENTFD`.
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
    /// Makes a guest's write of the event's value, with its width, write the device's register without an exit to user
    /// space. The corresponding request is `KVM_IOEVENTFD`.
    ///
    /// The register must be in a page that the guest does not have as memory (``GuestBAR/pieces``): only writes that
    /// would be MMIO exits are matched. Writes of other values are still MMIO exits.
    ///
    /// - Parameters:
    ///   - event: Writes the register. The result owns it; it is closed even if this throws.
    ///   - address: The guest address of the register, a multiple of its width.
    /// - Throws: `.misaligned` for an address that is not a multiple of the width; `.busy` if such writes already go to
    ///   another event.
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
