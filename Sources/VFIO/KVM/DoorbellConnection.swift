internal import CVFIO
internal import SystemPackage

/// A guest's writes that KVM and VFIO pass to a device's register by themselves, until the end of this value's life
/// (`KVM_IOEVENTFD`).
///
/// It owns the ``RegisterWriteEvent`` that does the writing.
public struct DoorbellConnection: ~Copyable, Sendable {
    /// Where the guest writes.
    public let address: GuestAddress
    private let machine: VirtualMachine
    private let request: ckvm_ioeventfd
    // Ended after KVM has let go of it.
    private var event: RegisterWriteEvent?
    private var isOn = true

    init(
        machine: VirtualMachine, event: consuming RegisterWriteEvent, _ request: ckvm_ioeventfd, address: GuestAddress
    ) {
        self.machine = machine
        self.event = consume event
        self.request = request
        self.address = address
    }

    /// Ends the connection and the writing, and reports what the kernel said.
    public consuming func close() throws(VFIOError) {
        isOn = false
        try disconnect()
        if let event = event.take() { try event.close() }
    }

    deinit {
        if isOn { try? disconnect() }
    }

    private borrowing func disconnect() throws(VFIOError) {
        var request = request
        request.flags |= CKVM_IOEVENTFD_FLAG_DEASSIGN
        do throws(Errno) {
            _ = try machine.kernel.control(machine.descriptor, CKVM_IOEVENTFD, with: &request)
        } catch {
            throw machine.failure("end the passing of a guest's writes (KVM_IOEVENTFD)", "\(address)", error)
        }
    }
}

extension VirtualMachine {
    /// Lets a guest's write of the event's value, with its width, write the device's register, without a way through user
    /// space.
    ///
    /// It is for a register in a page that the guest does not see as memory (``GuestBAR/pieces``): only writes that would be
    /// MMIO exits come here. Other values still are.
    ///
    /// - Parameters:
    ///   - event: What writes the register. It is the connection's from then on, and ends also when this throws.
    ///   - address: Where the guest sees the register, a multiple of its width.
    /// - Throws: `.misaligned` for an address that no write of the register's width goes to; `.busy` when such writes go to
    ///   another event already.
    public func connect(
        _ event: consuming RegisterWriteEvent, at address: GuestAddress
    ) throws(VFIOError) -> DoorbellConnection {
        let operation = "pass a guest's writes to the device (KVM_IOEVENTFD)"
        guard address.rawValue.isAligned(to: UInt64(event.width)) else {
            throw VFIOError(
                .misaligned, operation, "\(address)", hint: "the address has to be a multiple of \(event.width)")
        }
        let request = event.guestWrite(at: address)
        do throws(Errno) {
            var asked = request
            _ = try kernel.control(descriptor, CKVM_IOEVENTFD, with: &asked)
        } catch {
            throw error == .fileExists
                ? VFIOError(
                    .busy, operation, "\(address)", errno: error, hint: "this write goes to another event already")
                : failure(operation, "\(address)", error)
        }
        return DoorbellConnection(machine: self, event: event, request, address: address)
    }
}

extension RegisterWriteEvent {
    /// The guest's write that signals the event.
    fileprivate func guestWrite(at address: GuestAddress) -> ckvm_ioeventfd {
        var write = ckvm_ioeventfd()
        write.addr = address.rawValue
        write.len = UInt32(width)
        write.datamatch = value
        write.flags = CKVM_IOEVENTFD_FLAG_DATAMATCH
        write.fd = withEvent { $0.rawValue }
        return write
    }
}
