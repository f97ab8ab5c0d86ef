extension NVMeModel {
    struct CompletionQueue {
        var base: UInt64
        var entryCount: Int
        var vector: Int
        var isInterruptEnabled: Bool
        /// How many submission queues complete here.
        var userCount = 0
        var head = 0
        var tail = 0
        /// The phase of the entries that come next.
        var phase = true
        /// An entry has come that an interrupt tells of.
        var isTouched = false
        /// The pin does not tell of the entries that are there: the interrupt was lost.
        var isSilent = false
        /// Completions for which there is no room, from `firstWaiting` on.
        var waiting: [Completion] = []
        var firstWaiting = 0

        var isEmpty: Bool { head == tail }
        var isFull: Bool { (tail + 1) % entryCount == head }
        var usedCount: Int { (tail - head + entryCount) % entryCount }
    }
}
