import VFIO

extension Port {
    /// Waits until a packet has come, and blocks the thread meanwhile. Packets that have come already end it at once.
    ///
    /// The device needs buffers for what is to come: with a pool of fewer buffers than both queues have entries, all of them
    /// may be in the transmit queue, and none comes back while this waits. Call ``reclaim(to:)`` and ``receive(into:pool:)``
    /// before.
    ///
    /// - Parameter timeout: How long to wait; `nil` for ever.
    /// - Returns: Whether there are packets to receive.
    /// - Throws: `.noInterrupts` for a port that was made without, `.needsReset`, `.usedIndexJumped`.
    public mutating func wait(timeout: Duration? = nil) throws(VirtioNetError) -> Bool {
        guard interrupt != nil else { throw .noInterrupts }
        let deadline = timeout.map { ContinuousClock.now + $0 }
        receiveQueue.rings.wantInterrupts(true)
        defer { receiveQueue.rings.wantInterrupts(false) }
        while try !hasPackets() {
            let left = deadline.map { $0 - .now }
            if let left, left <= .zero { return false }
            // An interrupt may be one for packets that were taken already, or for an error.
            if try takeInterrupt(timeout: left) { try check() }
        }
        return true
    }

    private func takeInterrupt(timeout: Duration?) throws(VirtioNetError) -> Bool {
        switch interrupt {
        case .some(let interrupt):
            do throws(VFIOError) { return try interrupt.wait(timeout: timeout) != nil } catch { throw .vfio(error) }
        case .none: throw .noInterrupts
        }
    }
}
