extension VirtioNetTests {
    @Suite struct ForwarderTests {
        @Test("frames circulate, and each is counted", arguments: [1, 32], [false, true])
        func circulation(batchSize: Int, usesInterrupts: Bool) throws {
            try onMachine(Machines.make()) { space in
                let first = try Device(at: Machines.first, in: space)
                let second = try Device(at: Machines.second, in: space)
                let pool = try PacketPool(in: space, count: 1024)
                let options = PortOptions(usesInterrupts: usesInterrupts)
                var forwarder = Forwarder(
                    try Port(first, pool: pool, options: options), try Port(second, pool: pool, options: options),
                    pool: pool, batchSize: batchSize)
                try forwarder.forward()
                let frame = TestFrame(from: MACAddress(1), to: MACAddress(2))
                var generator = Generator(frame, batchSize: 16)
                #expect(try generator.send(upTo: 16, by: &forwarder.first, pool: &forwarder.pool) == 16)
                let deadline = ContinuousClock.now + .seconds(60)
                while forwarder.forwardedCount < 500, ContinuousClock.now < deadline {
                    if try forwarder.forward() == 0, usesInterrupts {
                        try #require(try forwarder.wait(timeout: .seconds(10)))
                    }
                }
                #expect(forwarder.forwardedCount >= 500)
                for counts in [forwarder.fromFirst, forwarder.fromSecond] {
                    #expect(counts.received == counts.sent && counts.dropped == 0)
                }
                let hops = try takeOut(16, of: &forwarder, frame)
                #expect(hops == forwarder.forwardedCount)
                try forwarder.close()
            }
        }

        /// Takes the frames out again, and adds up how often each was forwarded.
        private func takeOut(_ count: Int, of forwarder: inout Forwarder, _ frame: TestFrame) throws -> Int {
            var seen: Set<UInt64> = []
            var hops = 0
            var packets = [Packet](repeating: .none, count: 16)
            let deadline = ContinuousClock.now + .seconds(10)
            while seen.count < count, ContinuousClock.now < deadline {
                for isFirst in [true, false] {
                    var span = packets.mutableSpan
                    let came =
                        isFirst
                        ? try forwarder.first.receive(into: &span, pool: &forwarder.pool)
                        : try forwarder.second.receive(into: &span, pool: &forwarder.pool)
                    for index in 0..<came {
                        let number = frame.number(of: forwarder.pool.frame(of: span[index]))
                        #expect(seen.insert(try #require(number)).inserted)
                        hops += Int(TestFrame.hops(of: forwarder.pool.frame(of: span[index])))
                        forwarder.pool.free(span[index])
                    }
                }
            }
            #expect(seen == Set((0..<UInt64(count))))
            return hops
        }
    }
}
