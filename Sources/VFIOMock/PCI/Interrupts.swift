/// The interrupts of an open device: which kind is on, and the eventfds that they signal.
final class Interrupts {
    enum Kind {
        case none, intx, msi, msix
    }

    var kind = Kind.none
    /// The eventfds by vector; INTx is vector 0.
    var triggers: [Int: EventDescriptor] = [:]
    /// How many vectors were set up when the kind was turned on. Only MSI-X can have more later.
    var allocatedCount = 0
    /// INTx is masked, by the kernel when it fired or by the process.
    var isMasked = false
    /// INTx is masked by the command register.
    var isDisabledByCommand = false
    /// Unmasks INTx when it is signalled.
    var unmask: EventDescriptor?
    var error: EventDescriptor?
    var request: EventDescriptor?

    func signal(_ vector: Int) { triggers[vector]?.signal() }

    func reset() {
        kind = .none
        triggers = [:]
        allocatedCount = 0
        isMasked = false
        unmask = nil
    }
}

/// An eventfd that the kernel turns into a register write (`VFIO_DEVICE_IOEVENTFD`).
struct EventWrite {
    let bar: Int
    let offset: UInt64
    let width: Int
    let value: UInt64
    let event: EventDescriptor
}
