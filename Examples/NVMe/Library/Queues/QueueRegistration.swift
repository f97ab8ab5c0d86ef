/// The registration of a queue at the controller. The queue is deleted there when this value is destroyed.
struct QueueRegistration: ~Copyable, Sendable {
    /// The queue's number, from 1; 0 for the admin queue.
    let id: UInt16
    /// The controller that the queue was created at; `nil` when the queue was set up without the library.
    private(set) var core: ControllerCore?
    /// The epoch of the controller in which the queue exists; each reset begins a new one.
    var epoch: UInt64
    /// The memory of the queue, which is never freed if the controller may still access it.
    private let buffers: QueueBuffers

    init(id: UInt16, core: ControllerCore?, epoch: UInt64, _ buffers: QueueBuffers) {
        self.id = id
        self.core = core
        self.epoch = epoch
        self.buffers = buffers
    }

    /// Whether the controller has been reset since the queue was created there.
    var isOutdated: Bool { core.map { $0.currentEpoch != epoch } ?? false }

    /// Checks that the queue exists at the controller.
    ///
    /// - Throws: `.closed` when the controller has been closed, `.notStopped` when it may still run after that, `.reset`
    ///   when it has been reset.
    func check() throws(NVMeError) {
        guard let core else { return }
        // In this order, because closing sets the flag before it ends the epoch.
        guard core.currentEpoch != epoch || core.isClosed else { return }
        throw core.isClosed ? core.ending(for: epoch) : .reset
    }

    /// Deletes the queue at the controller, so that its memory can be freed.
    ///
    /// - Throws: As ``ControllerCore/removeQueue(_:epoch:_:)``.
    consuming func close() throws(NVMeError) {
        let core = self.core
        self.core = nil
        try core?.removeQueue(id, epoch: epoch, buffers)
    }

    deinit {
        // deinit ignores errors; callers that need the error call close().
        try? core?.removeQueue(id, epoch: epoch, buffers)
    }
}
