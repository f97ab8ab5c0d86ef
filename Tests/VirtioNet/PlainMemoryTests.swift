/// The driver on plain memory, with a card that the test plays: what the benchmarks measure.
@Suite(.enabled(if: !Machines.isInLab, "no card at all")) struct PlainMemoryTests {
    @Test(arguments: [1, 32, 256])
    func forwarding(batchSize: Int) throws {
        let machine = MockMachine()
        machine.plug(VirtioNetMemoryModel(), at: "0000:03:00.0")
        machine.plug(VirtioNetMemoryModel(), at: "0000:04:00.0")
        do {
            let space = try AddressSpace(kernel: machine.kernel)
            let first = try Device(at: "0000:03:00.0", in: space)
            let second = try Device(at: "0000:04:00.0", in: space)
            let pool = try PacketPool(in: space, count: 2048)
            var forwarder = Forwarder(
                try Port(first, pool: pool), try Port(second, pool: pool), pool: pool, batchSize: batchSize)
            try forwarder.forward()
            var cards = [PlayedCard(forwarder.first), PlayedCard(forwarder.second)]
            let free = forwarder.pool.freeCount
            for _ in 0..<1000 {
                // What one sends comes to nobody, and frames come to both, as many as a batch takes.
                for index in cards.indices { cards[index].play(receiving: batchSize, length: 12 + 60) }
                try forwarder.forward()
            }
            #expect(forwarder.forwardedCount == 2 * 1000 * batchSize)
            #expect(forwarder.fromFirst.dropped == 0 && forwarder.fromSecond.dropped == 0)
            // Only what is being sent is missing.
            #expect(forwarder.pool.freeCount == free - 2 * batchSize)
            #expect(cards.allSatisfy { $0.sentCount == 999 * batchSize })
            try forwarder.close()
        }
        #expect(machine.openFiles.isEmpty)
        #expect(machine.pinnedByteCount == 0)
    }
}
