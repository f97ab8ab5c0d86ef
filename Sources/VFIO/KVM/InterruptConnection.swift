internal import CVFIO
internal import SystemPackage

/// An interrupt of a device that KVM delivers to a guest by itself, until the end of this value's life (`KVM_IRQFD`).
///
/// KVM takes the interrupts from the vector's event then: ``InterruptVector/poll()`` and its like see none of them.
public struct InterruptConnection: ~Copyable, Sendable {
    /// The machine's interrupt line (GSI).
    public let interruptLine: UInt32
    private let machine: VirtualMachine
    private let source: InterruptLine
    private var isOn = true

    init(machine: VirtualMachine, source: InterruptLine, interruptLine: UInt32) {
        self.machine = machine
        self.source = source
        self.interruptLine = interruptLine
    }

    /// Ends the delivery, waits for what is under way, and reports what the kernel said.
    public consuming func close() throws(VFIOError) {
        isOn = false
        try end()
    }

    deinit {
        if isOn { try? end() }
    }

    private borrowing func end() throws(VFIOError) {
        var request = ckvm_irqfd()
        request.fd = UInt32(bitPattern: source.event.rawValue)
        request.gsi = interruptLine
        request.flags = CKVM_IRQFD_FLAG_DEASSIGN
        do throws(Errno) {
            _ = try machine.kernel.control(machine.descriptor, CKVM_IRQFD, with: &request)
        } catch {
            throw machine.failure(
                "end the delivery of an interrupt (KVM_IRQFD)",
                "vector \(source.vector) of \(source.index) of \(source.core.address)", error)
        }
    }
}

extension VirtualMachine {
    /// Lets KVM deliver a device's interrupt to the guest, without a way through user space.
    ///
    /// INTx stays masked from when it comes until the guest has acknowledged it at its interrupt controller: KVM tells
    /// the device's driver by the vector's unmask event (`KVM_IRQFD_FLAG_RESAMPLE`).
    ///
    /// - Parameters:
    ///   - vector: What is delivered. It may be closed before the connection; then nothing comes any more.
    ///   - interruptLine: The machine's interrupt line (GSI). For MSI and MSI-X it is one that the monitor has routed to a
    ///     message (`KVM_SET_GSI_ROUTING`). KVM takes any number, and delivers nothing while it is routed nowhere.
    /// - Throws: `.busy` when the vector is connected already, here or elsewhere; `.invalidArgument` when the machine has no
    ///   interrupt controller in the kernel yet (`KVM_CREATE_IRQCHIP`); for INTx all of it has to be there, and not the local
    ///   part alone.
    public func connect(
        _ vector: borrowing InterruptVector, to interruptLine: UInt32
    ) throws(VFIOError) -> InterruptConnection {
        try connect(vector.line, to: interruptLine)
    }

    /// Lets KVM deliver one of several interrupts of a device to the guest.
    ///
    /// - Throws: As for a single one; `.notFound` for a vector that is not one of these.
    public func connect(
        _ vectors: borrowing InterruptVectors, vector: Int, to interruptLine: UInt32
    ) throws(VFIOError) -> InterruptConnection {
        try connect(try vectors.line(vector, "deliver vector \(vector) to the guest"), to: interruptLine)
    }

    private func connect(_ source: InterruptLine, to interruptLine: UInt32) throws(VFIOError) -> InterruptConnection {
        let operation = "deliver an interrupt to the guest (KVM_IRQFD)"
        let subject = "vector \(source.vector) of \(source.index) of \(source.core.address)"
        var request = ckvm_irqfd()
        request.fd = UInt32(bitPattern: source.event.rawValue)
        request.gsi = interruptLine
        if source.isMaskable {
            request.flags = CKVM_IRQFD_FLAG_RESAMPLE
            request.resamplefd = UInt32(bitPattern: try source.unmaskEvent().rawValue)
        }
        do throws(Errno) {
            _ = try kernel.control(descriptor, CKVM_IRQFD, with: &request)
        } catch {
            throw switch error {
            case .resourceBusy:
                VFIOError(.busy, operation, subject, errno: error, hint: "it is connected already; close that first")
            case .invalidArgument, .resourceTemporarilyUnavailable:
                VFIOError(
                    .invalidArgument, operation, subject, errno: error,
                    hint: source.isMaskable
                        ? "the machine has no interrupt controller that is all in the kernel; see KVM_CREATE_IRQCHIP"
                        : "the machine has no interrupt controller in the kernel; see KVM_CREATE_IRQCHIP")
            default: failure(operation, subject, error)
            }
        }
        return InterruptConnection(machine: self, source: source, interruptLine: interruptLine)
    }
}
