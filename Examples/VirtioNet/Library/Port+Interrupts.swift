import VFIO

extension Port {
    /// Waits until a packet has arrived. Blocks the thread. Returns immediately if packets have arrived already.
    ///
    /// The device needs receive buffers: with a pool of fewer buffers than both queues have entries, all of them may be
    /// in the transmit queue, and none is returned while this waits. Call ``reclaim(to:)`` and ``receive(into:pool:)``
    /// before.
    ///
    /// - Parameter timeout: The maximum time to wait; `nil` for no limit.
    /// - Returns: Whether there are packets to receive.
    /// - Throws: `.noInterrupts` for a port without interrupts, `.needsReset`, `.usedIndexJumped`.
    public mutating func wait(timeout: Duration? = nil) throws(VirtioNetError) -> Bool {
        guard interrupt != nil else { throw .noInterrupts }
        // Bounded, so that no sum of durations overflows.
        let deadline = timeout.map { ContinuousClock.now + min(max($0, .zero), .seconds(1 << 32)) }
        receiveQueue.rings.wantInterrupts(true)
        defer { receiveQueue.rings.wantInterrupts(false) }
        while try !hasPackets() {
            let left = deadline.map { $0 - .now }
            if let left, left <= .zero { return false }
            // The interrupt may be for packets that were taken already, or for an error.
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
