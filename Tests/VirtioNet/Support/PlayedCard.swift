/// A card, as far as it moves buffers from the available rings to the used ones.
struct PlayedCard {
    private var receiver: PlayedQueue
    private var transmitter: PlayedQueue
    private(set) var sentCount = 0

    /// The port has to outlive it.
    init(_ port: borrowing Port) {
        receiver = PlayedQueue(port.receiver)
        transmitter = PlayedQueue(port.transmitter)
    }

    /// Sends all that there is to send, and receives some packets without touching what is in them.
    mutating func play(receiving count: Int, length: UInt32) {
        while transmitter.use(length: 0) { sentCount += 1 }
        for _ in 0..<count where !receiver.use(length: length) { return }
    }
}
