final class Interrupts {
    enum Kind {
        case none, intx, msi, msix
    }

    var kind = Kind.none
    /// The eventfds by vector; INTx is vector 0.
    var triggers: [Int: EventDescriptor] = [:]
    /// The number of vectors allocated when the kind was enabled. Only MSI-X can grow later.
    var allocatedCount = 0
    /// Whether INTx is masked, by the kernel when it fired or by the process.
    var isMasked = false
    /// Whether INTx is masked by the command register.
    var isDisabledByCommand = false
    /// Unmasks INTx when it is signalled.
    var unmask: EventDescriptor?
    var error: EventDescriptor?
    /// Who begins to listen is asked anew.
    var request: EventDescriptor? { didSet { lastRequest = nil } }

    /// When the process was last asked for the device.
    private var lastRequest: ContinuousClock.Instant?

    func signal(_ vector: Int) { triggers[vector]?.signal() }

    /// Asks the process for the device, at most every 10 seconds, as the kernel does while it waits.
    func requestRelease() {
        guard let request, lastRequest.map({ ContinuousClock.now - $0 >= .seconds(10) }) ?? true else { return }
        lastRequest = .now
        request.signal()
    }

    func reset() {
        kind = .none
        triggers = [:]
        allocatedCount = 0
        isMasked = false
        unmask = nil
        lastRequest = nil
    }
}

/// A register write on an eventfd (`VFIO_DEVICE_IOEVENTFD`).
struct EventWrite {
    let bar: Int
    let offset: UInt64
    let width: Int
    let value: UInt64
    let event: EventDescriptor
}
