internal import SystemPackage
public import VFIO

/// An interrupt of a device that KVM delivers to a guest, until this value is closed or deinitialized.
/// The corresponding request is `KVM_IRQFD`.
///
/// KVM then consumes the vector's event: `InterruptVector.poll()` and similar functions see no interrupts.
public struct IRQFD: ~Copyable, Sendable {
    /// The machine's interrupt line (GSI).
    public let interruptLine: UInt32
    private let machine: VirtualMachine
    private let source: InterruptLine
    private var isOpen = true

    init(machine: VirtualMachine, source: InterruptLine, interruptLine: UInt32) {
        self.machine = machine
        self.source = source
        self.interruptLine = interruptLine
    }

    /// Ends the delivery, waits for pending ones, and throws the kernel's error.
    /// The corresponding request is `KVM_IRQFD`.
    public consuming func close() throws(VFIOError) {
        isOpen = false
        try end()
    }

    deinit {
        if isOpen { try? end() }
    }

    private borrowing func end() throws(VFIOError) {
        try ABI.setIRQFD(source.event, to: interruptLine, isEnd: true).perform(
            on: machine, "end the delivery of an interrupt",
            "vector \(source.vector) of \(source.index) of \(source.core.address)")
    }
}

extension VirtualMachine {
    /// Makes KVM deliver a device's interrupt to the guest without an exit to user space.
    /// The corresponding request is `KVM_IRQFD`.
    ///
    /// INTx stays masked after it fires until the guest has acknowledged it at its interrupt controller: KVM then
    /// signals the vector's unmask event (`KVM_IRQFD_FLAG_RESAMPLE`).
    ///
    /// - Parameters:
    ///   - vector: The interrupt. It may be closed before the irqfd; no interrupts are delivered then.
    ///   - interruptLine: The machine's interrupt line (GSI). For MSI and MSI-X, one that the monitor has routed to a
    ///     message (`KVM_SET_GSI_ROUTING`). KVM accepts any number, and delivers nothing while it has no route.
    /// - Throws: `.busy` if the vector already has an irqfd; `.interruptLost`; `.invalidArgument` if the machine has no interrupt
    ///   controller in the kernel yet (`KVM_CREATE_IRQCHIP`); INTx needs a full one, not only the local APICs.
    public func makeIRQFD(
        for vector: borrowing InterruptVector, to interruptLine: UInt32
    ) throws(VFIOError) -> IRQFD {
        try makeIRQFD(vector.line, to: interruptLine)
    }

    /// Makes KVM deliver one of several interrupts of a device to the guest. The corresponding request is `KVM_IRQFD`.
    ///
    /// - Throws: As for a single one; `.notFound` for a vector that is not one of these.
    public func makeIRQFD(
        for vectors: borrowing InterruptVectors, vector: Int, to interruptLine: UInt32
    ) throws(VFIOError) -> IRQFD {
        try makeIRQFD(try vectors.line(vector, "deliver vector \(vector) to the guest"), to: interruptLine)
    }

    private func makeIRQFD(_ source: InterruptLine, to interruptLine: UInt32) throws(VFIOError) -> IRQFD {
        let subject = "vector \(source.vector) of \(source.index) of \(source.core.address)"
        let unmask = source.isMaskable ? try source.unmaskEvent() : nil
        let noController: Refusal = (
            .invalidArgument,
            source.isMaskable
                ? "the machine has no interrupt controller that is all in the kernel; see KVM_CREATE_IRQCHIP"
                : "the machine has no interrupt controller in the kernel; see KVM_CREATE_IRQCHIP"
        )
        let words = "deliver an interrupt to the guest"
        try source.whileOn(ABI.Call.setIRQFD.operation(words)) { () throws(VFIOError) in
            try ABI.setIRQFD(source.event, to: interruptLine, acknowledgedBy: unmask).perform(
                on: self, words, subject,
                refusals: [
                    .resourceBusy: (.busy, "it is connected already; close that first"),
                    .invalidArgument: noController, .resourceTemporarilyUnavailable: noController,
                ])
        }
        return IRQFD(machine: self, source: source, interruptLine: interruptLine)
    }
}
