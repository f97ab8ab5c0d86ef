internal import CVFIO
internal import Synchronization
internal import SystemPackage

extension DeviceCore {
    /// Ties a vector to an event.
    func enable(
        _ index: InterruptIndex, vector: UInt32, event: FileDescriptor, isFixedSize: Bool, operation: String
    ) throws(VFIOError) {
        let subject = "\(index) of \(address)"
        try state.withLock { (state) throws(VFIOError) in
            guard state.interrupts[index, vector] == nil else {
                throw VFIOError(.busy, operation, subject, hint: "the vector is on already")
            }
            if let other = state.interrupts.conflict(with: index) {
                throw VFIOError(
                    .busy, operation, subject, hint: "\(other) is on, and a device uses one kind at a time")
            }
            let allocated = state.interrupts.allocated[index] ?? 0
            do throws(Errno) {
                if isFixedSize, state.interrupts.isOn(index), vector >= allocated {
                    // The kernel cannot add to what it has set up: all off, and on again with the new one among them.
                    let old = (0..<allocated).map { state.interrupts[index, $0] }
                    let grown = old + [FileDescriptor?](repeating: nil, count: Int(vector - allocated)) + [event]
                    try disableAll(index)
                    do throws(Errno) {
                        try setEvents(index, start: 0, grown)
                    } catch {
                        // Those that were on are to be on again. If that fails too, none is on, and so it is noted.
                        do throws(Errno) {
                            try setEvents(index, start: 0, old)
                        } catch {
                            state.interrupts.removeAll(index)
                        }
                        throw error
                    }
                } else {
                    try setEvents(index, start: vector, [event])
                }
            } catch .noSpace {
                throw VFIOError(
                    .limit, operation, subject, errno: .noSpace, hint: "the host has fewer vectors left for the device")
            } catch {
                throw VFIOError(.kernel, operation, subject, errno: error)
            }
            state.interrupts[index, vector] = event
            state.interrupts.allocated[index] = max(allocated, vector + 1)
        }
    }

    /// Unties a vector from its event, and switches the kind off with its last one.
    func disable(_ index: InterruptIndex, vector: UInt32) throws(VFIOError) {
        try state.withLock { (state) throws(VFIOError) in
            guard state.interrupts[index, vector] != nil else { return }
            state.interrupts[index, vector] = nil
            do throws(Errno) {
                if state.interrupts.isOn(index) {
                    try setEvents(index, start: vector, [nil])
                } else {
                    state.interrupts.allocated[index] = nil
                    try disableAll(index)
                }
            } catch {
                throw VFIOError(
                    .kernel, "disable vector \(vector) (VFIO_DEVICE_SET_IRQS)", "\(index) of \(address)", errno: error)
            }
        }
    }

    /// Unmasks a vector that the kernel has masked.
    func unmask(_ index: InterruptIndex, vector: UInt32) throws(VFIOError) {
        do throws(Errno) {
            try setInterrupts(
                index, flags: CVFIO_IRQ_SET_DATA_NONE | CVFIO_IRQ_SET_ACTION_UNMASK, start: vector, count: 1)
        } catch {
            throw VFIOError(
                .kernel, "unmask vector \(vector) (VFIO_DEVICE_SET_IRQS)", "\(index) of \(address)", errno: error)
        }
    }

    /// Raises a vector's event as if the device had.
    func trigger(_ index: InterruptIndex, vector: UInt32) throws(VFIOError) {
        do throws(Errno) {
            try setInterrupts(
                index, flags: CVFIO_IRQ_SET_DATA_NONE | CVFIO_IRQ_SET_ACTION_TRIGGER, start: vector, count: 1)
        } catch {
            throw VFIOError(
                .kernel, "trigger vector \(vector) (VFIO_DEVICE_SET_IRQS)", "\(index) of \(address)", errno: error)
        }
    }

    // MARK: Requests

    private func disableAll(_ index: InterruptIndex) throws(Errno) {
        try setInterrupts(index, flags: CVFIO_IRQ_SET_DATA_NONE | CVFIO_IRQ_SET_ACTION_TRIGGER, start: 0, count: 0)
    }

    private func setEvents(_ index: InterruptIndex, start: UInt32, _ events: [FileDescriptor?]) throws(Errno) {
        try setInterrupts(
            index, flags: CVFIO_IRQ_SET_DATA_EVENTFD | CVFIO_IRQ_SET_ACTION_TRIGGER, start: start,
            count: UInt32(events.count), tail: events.map { $0?.rawValue ?? -1 })
    }

    private func setInterrupts(
        _ index: InterruptIndex, flags: UInt32, start: UInt32, count: UInt32, tail: [Int32] = []
    ) throws(Errno) {
        let headerSize = MemoryLayout<cvfio_irq_set>.size
        var request = cvfio_irq_set()
        request.argsz = UInt32(headerSize + tail.count * MemoryLayout<Int32>.size)
        request.flags = flags
        request.index = index.rawValue
        request.start = start
        request.count = count
        let buffer = RequestBuffer(request, tail: tail.count * MemoryLayout<Int32>.size)
        for (position, descriptor) in tail.enumerated() {
            buffer.store(descriptor, at: headerSize + position * MemoryLayout<Int32>.size)
        }
        // Where there are fewer vectors than asked for, the answer is their number, and none is on.
        guard try kernel.control(descriptor, CVFIO_DEVICE_SET_IRQS, with: buffer) == 0 else { throw .noSpace }
    }
}
