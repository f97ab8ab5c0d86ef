/// A queue's place at the controller, which is given back at the end of this value's life.
struct QueueRegistration: ~Copyable, Sendable {
    /// The queue's number, from 1; 0 for the admin queue.
    let id: UInt16
    /// Who has told the controller of the queue; `nil` when nobody of this library has.
    private(set) var core: ControllerCore?
    /// Which life of the controller knows the queue: each reset of it begins another.
    var epoch: UInt64

    init(id: UInt16, core: ControllerCore?, epoch: UInt64) {
        self.id = id
        self.core = core
        self.epoch = epoch
    }

    /// Whether the controller has been reset since it was told of the queue.
    var isOutdated: Bool { core.map { $0.currentEpoch != epoch } ?? false }

    /// Makes sure that the controller knows the queue.
    ///
    /// - Throws: `.closed` when there is no controller any more, `.reset` when it has been reset.
    func check() throws(NVMeError) {
        guard let core else { return }
        // In this order: the end of the last life is told after the close.
        guard core.currentEpoch != epoch || core.isClosed else { return }
        throw core.isClosed ? .closed : .reset
    }

    /// Has the controller forget the queue, so that its memory can be freed.
    consuming func close() throws(NVMeError) {
        let core = self.core
        self.core = nil
        try core?.removeQueue(id, epoch: epoch)
    }

    deinit {
        // Silent, as every deinit here; close() is for those who want to know.
        try? core?.removeQueue(id, epoch: epoch)
    }
}
