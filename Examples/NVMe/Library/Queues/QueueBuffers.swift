internal import VFIO

/// The buffers of a queue's memory, shared by the queue and its registration at the controller. They are freed with the
/// last reference.
///
/// A class, so that whoever learns that the controller still runs can keep them, also when the queue is being destroyed.
/// The path of commands does not access it.
@safe
final class QueueBuffers: @unchecked Sendable {
    private struct Buffers: ~Copyable {
        let submissions: DMABuffer
        let completions: DMABuffer
        let lists: DMABuffer
    }

    // Allocated separately, because a stored property of a class cannot be consumed.
    private let place: UnsafeMutablePointer<Buffers>
    private var isOpen = true

    init(submissions: consuming DMABuffer, completions: consuming DMABuffer, lists: consuming DMABuffer) {
        unsafe place = .allocate(capacity: 1)
        unsafe place.initialize(to: Buffers(submissions: submissions, completions: completions, lists: lists))
    }

    deinit {
        if isOpen { unsafe place.deinitialize(count: 1) }
        unsafe place.deallocate()
    }

    var submissions: DMABuffer {
        _read { yield unsafe place.pointee.submissions }
    }
    var completions: DMABuffer {
        _read { yield unsafe place.pointee.completions }
    }
    var lists: DMABuffer {
        _read { yield unsafe place.pointee.lists }
    }

    /// Leaks the buffers, which stay mapped, because the controller may still access them.
    func abandon() { _ = unsafe Unmanaged.passRetained(self) }

    /// Frees the buffers and reports errors of the kernel. They must not be used any more.
    func close() throws(VFIOError) {
        isOpen = false
        let buffers = unsafe place.move()
        try buffers.submissions.close()
        try buffers.completions.close()
        try buffers.lists.close()
    }
}
