import Foundation

/// Cards that do wrong, and a kernel that refuses: which error comes, and that everything can be closed nevertheless.
@Suite(.enabled(if: !Machines.isInLab, "only the mock's cards do wrong")) struct FaultTests {
    private func refusal(_ machine: MockNetworkMachine, sourceLocation: SourceLocation = #_sourceLocation)
        throws -> VirtioNetError?
    {
        var found: VirtioNetError?
        try onMachine(machine, sourceLocation: sourceLocation) { space in found = driverError { _ = try Rig(space) } }
        return found
    }

    // MARK: Set-up

    @Test func featuresThatAreMissing() throws {
        var card = VirtioNetModel()
        card.offeredFeatures = 1 << 5 | 1 << 33
        #expect(try refusal(MockNetworkMachine(first: card)) == .missingFeatures(.version1))
    }

    @Test func cardThatBypassesTheIOMMU() throws {
        var card = VirtioNetModel()
        card.offeredFeatures = 1 << 5 | 1 << 32
        #expect(try refusal(MockNetworkMachine(first: card)) == .bypassesIOMMU)
    }

    @Test func featuresThatAreRefused() throws {
        var card = VirtioNetModel()
        card.faults = [.refusesFeatures]
        #expect(
            try refusal(MockNetworkMachine(first: card))
                == .featuresRefused([.mac, .status, .version1, .accessPlatform]))
    }

    @Test func featuresThatAreNotKnownAreNotTaken() throws {
        var card = VirtioNetModel()
        card.offeredFeatures |= 1 << 0 | 1 << 15 | 1 << 29 | 1 << 34
        let machine = MockNetworkMachine(first: card)
        try onMachine(machine) { space in
            let rig = try Rig(space)
            #expect(machine.card { card, _ in card.acceptedFeatures } == 0x3_0001_0020)
            try rig.close()
            // Closed means reset.
            #expect(machine.card { card, _ in card.status } == 0)
        }
    }

    @Test(
        "whichever call of the kernel fails, an error comes out and nothing is left behind", arguments: [false, true])
    func failingCalls(usesInterrupts: Bool) throws {
        for call in [MockCall.ioctl, .mmap, .pread, .pwrite] {
            var errorCount = 0
            for skipping in 0..<200 {
                let machine = MockNetworkMachine()
                machine.machine.failNextCall(call, with: .noMemory, skipping: skipping)
                var isOver = false
                do {
                    try onMachine(machine) { space in
                        let rig = try Rig(space, options: PortOptions(usesInterrupts: usesInterrupts))
                        // Nothing failed: the failure is yet to come.
                        isOver = machine.machine.pendingFailureCount == 1
                        machine.machine.clearFailures()
                        try rig.close()
                    }
                } catch {
                    errorCount += 1
                    let reason: VFIOError? =
                        if case .vfio(let reason)? = error as? VirtioNetError { reason } else { error as? VFIOError }
                    #expect(reason?.errno == .noMemory, "\(call) number \(skipping): \(error)")
                    #expect(machine.leftovers == [], "\(call) number \(skipping)")
                }
                if isOver { break }
                #expect(skipping < 199, "it never ends")
            }
            #expect(errorCount > 0, "no \(call) failed")
        }
    }

    // MARK: Bad answers

    @Test(arguments: [
        (VirtioNetFault.usesUnknownDescriptor, VirtioNetError.unknownDescriptor(queue: 0, id: 256)),
        // The third buffer is behind the third descriptor.
        (.writesTooMuch, .badLength(queue: 0, id: 2, length: 1 << 20)),
        (.writesTooLittle, .badLength(queue: 0, id: 2, length: 11)),
    ]) func badReceiver(_ fault: VirtioNetFault, _ error: VirtioNetError) throws {
        let machine = MockNetworkMachine(first: VirtioNetModel(network: .collected))
        try onMachine(machine) { space in
            var rig = try Rig(space)
            #expect(try rig.receive() == [])
            machine.card { card, bus in
                card.deliver([[1], [2]], bus: bus)
                card.faults = [fault]
                card.deliver([[3]], bus: bus)
            }
            // The good ones are handed out before the bad one.
            #expect(try rig.receive() == [-1, -1])
            #expect(driverError { _ = try rig.receive() } == error)
            // Nothing is skipped.
            #expect(driverError { _ = try rig.receive() } == error)
            try rig.close()
        }
    }

    @Test func receiverThatJumpsAhead() throws {
        let machine = MockNetworkMachine(first: VirtioNetModel(network: .collected))
        try onMachine(machine) { space in
            var rig = try Rig(space, options: PortOptions(usesInterrupts: true))
            #expect(try rig.receive() == [])
            machine.card { card, bus in
                card.deliver([[1], [2]], bus: bus)
                card.faults = [.jumpsAhead]
                card.deliver([[3]], bus: bus)
            }
            // What is in between cannot be trusted.
            let error = VirtioNetError.usedIndexJumped(queue: 0, from: 0, to: 1002)
            #expect(driverError { _ = try rig.receive() } == error)
            #expect(driverError { _ = try rig.port.hasPackets() } == error)
            #expect(driverError { _ = try rig.port.wait() } == error)
            try rig.close()
        }
    }

    @Test func bufferThatIsFilledTwice() throws {
        let machine = MockNetworkMachine(first: VirtioNetModel(network: .collected))
        try onMachine(machine) { space in
            // No buffer is left to take a used one's place, so that its descriptor stays empty.
            var rig = try Rig(space, bufferCount: 2)
            #expect(try rig.receive() == [])
            machine.card { card, bus in
                card.faults = [.repeatsDescriptor]
                card.deliver([[1], [2]], bus: bus)
            }
            var packets = [Packet](repeating: .none, count: 4)
            var span = packets.mutableSpan
            #expect(try rig.port.receive(into: &span, pool: &rig.pool) == 1)
            let packet = span[0]
            let error = driverError {
                var packets = [Packet](repeating: .none, count: 4)
                var span = packets.mutableSpan
                _ = try rig.port.receive(into: &span, pool: &rig.pool)
            }
            #expect(error == .unknownDescriptor(queue: 0, id: 0))
            rig.pool.free(packet)
            try rig.close()
        }
    }

    @Test func bufferThatIsSentTwice() throws {
        let machine = MockNetworkMachine()
        try onMachine(machine) { space in
            var rig = try Rig(space)
            machine.card { card, _ in card.faults = [.repeatsDescriptor] }
            #expect(try rig.send(2) == 2)
            #expect(driverError { try rig.port.reclaim(to: &rig.pool) } == .unknownDescriptor(queue: 1, id: 0))
            try rig.close()
        }
    }

    @Test(arguments: [
        (VirtioNetFault.usesUnknownDescriptor, VirtioNetError.unknownDescriptor(queue: 1, id: 256)),
        (.jumpsAhead, .usedIndexJumped(queue: 1, from: 0, to: 1000)),
    ]) func badTransmitter(_ fault: VirtioNetFault, _ error: VirtioNetError) throws {
        let machine = MockNetworkMachine()
        try onMachine(machine) { space in
            var rig = try Rig(space)
            machine.card { card, _ in card.faults = [fault] }
            #expect(try rig.send(1) == 1)
            #expect(driverError { try rig.port.reclaim(to: &rig.pool) } == error)
            #expect(driverError { _ = try rig.send(1) } == error)
            try rig.close()
        }
    }

    // MARK: Errors of the card

    @Test func cardThatNeedsReset() throws {
        let machine = MockNetworkMachine()
        try onMachine(machine) { space in
            var rig = try Rig(space, options: PortOptions(usesInterrupts: true))
            #expect(try rig.receive() == [])
            try rig.port.check()
            machine.card { card, bus in card.fail(bus: bus) }
            #expect(driverError { try rig.port.check() } == .needsReset)
            // The interrupt of the change ends the wait.
            #expect(driverError { _ = try rig.port.wait(timeout: .seconds(60)) } == .needsReset)
            try rig.close()
            // The next port resets it.
            var next = try Rig(space)
            #expect(try next.receive() == [])
            #expect(try next.send(1) == 1)
            #expect(try next.receive() == [0])
            try next.close()
        }
    }

    @Test func lostInterruptIsFoundAtTheEndOfTheWait() throws {
        let machine = MockNetworkMachine(first: VirtioNetModel(network: .collected))
        try onMachine(machine) { space in
            var rig = try Rig(space, options: PortOptions(usesInterrupts: true))
            #expect(try rig.receive() == [])
            machine.card { card, _ in card.faults = [.losesInterrupts] }
            let ring = rig.port.receiver.memory.unsafeBaseAddress + rig.port.receiver.layout.availableOffset
            nonisolated(unsafe) let flag = ring
            DispatchQueue.global().async {
                // Once the port has asked for interrupts, it is about to wait, for longer than this looks.
                for _ in 0..<1000 where flag.load(as: UInt16.self) != 0 { usleep(1000) }
                machine.card { card, bus in card.deliver([[1]], bus: bus) }
            }
            #expect(try rig.port.wait(timeout: .seconds(5)) == true)
            #expect(try rig.receive() == [-1])
            try rig.close()
        }
    }

    @Test func forwarderIsWokenByEitherPort() throws {
        let machine = MockNetworkMachine(
            first: VirtioNetModel(network: .collected),
            second: VirtioNetModel(macAddress: 0x5254_0000_0008, network: .collected))
        try onMachine(machine) { space in
            let first = try Device(at: Machines.first, in: space)
            let second = try Device(at: Machines.second, in: space)
            let pool = try PacketPool(in: space, count: 1024)
            let options = PortOptions(usesInterrupts: true)
            var forwarder = Forwarder(
                try Port(first, pool: pool, options: options), try Port(second, pool: pool, options: options),
                pool: pool, batchSize: 8)
            #expect(try forwarder.forward() == 0)
            #expect(try forwarder.wait(timeout: .milliseconds(1)) == false)
            for (round, address) in [Machines.first, Machines.second, Machines.first].enumerated() {
                let port =
                    address == Machines.first
                    ? forwarder.first.receiver.memory.unsafeBaseAddress
                        + forwarder.first.receiver.layout.availableOffset
                    : forwarder.second.receiver.memory.unsafeBaseAddress
                        + forwarder.second.receiver.layout.availableOffset
                nonisolated(unsafe) let flag = port
                DispatchQueue.global().async {
                    // Once it has asked for interrupts, it is about to wait.
                    for _ in 0..<10000 where flag.load(as: UInt16.self) != 0 { usleep(1000) }
                    machine.machine.withDevice(VirtioNetModel.self, at: address) { card, bus in
                        card.deliver([[UInt8](repeating: UInt8(round), count: 60)], bus: bus)
                    }
                }
                // Without the interrupt it would find the frame at the end of the time, and the test would never end.
                #expect(try forwarder.wait(timeout: .seconds(3600)) == true)
                #expect(try forwarder.forward() == 1)
                let target = address == Machines.first ? Machines.second : Machines.first
                let sent = machine.machine.withDevice(VirtioNetModel.self, at: target) { card, _ in
                    card.takeSentFrames()
                }
                #expect(sent.map { $0.first } == [UInt8(round)])
            }
            #expect(forwarder.fromFirst.sent == 2 && forwarder.fromSecond.sent == 1)
            try forwarder.close()
        }
    }

    // MARK: Notifications

    @Test func doorbellsAreRungOncePerBurst() throws {
        let machine = MockNetworkMachine(first: VirtioNetModel(network: .collected))
        try onMachine(machine) { space in
            var rig = try Rig(space)
            #expect(try rig.receive() == [])
            #expect(machine.card { card, _ in card.doorbellCounts } == [1, 0])
            #expect(try rig.send(64) == 64)
            #expect(machine.card { card, _ in card.doorbellCounts } == [1, 1])
            #expect(machine.card { card, _ in card.takeSentFrames().count } == 64)
            machine.card { card, bus in card.deliver([[UInt8]](repeating: [1], count: 64), bus: bus) }
            #expect(try rig.receive().count == 64)
            #expect(machine.card { card, _ in card.doorbellCounts } == [2, 1])
            try rig.close()
        }
    }

    @Test func doorbellsAreLeftAloneWhenTheCardWantsNone() throws {
        let machine = MockNetworkMachine()
        try onMachine(machine) { space in
            var rig = try Rig(space)
            machine.card { card, bus in
                card.isNotificationUnwanted = true
                card.look(bus: bus)
            }
            #expect(try rig.receive() == [])
            #expect(try rig.send(8) == 8)
            #expect(machine.card { card, _ in card.doorbellCounts } == [0, 0])
            machine.card { card, bus in card.look(bus: bus) }
            #expect(try rig.receive() == Array(0..<8))
            try rig.close()
        }
    }

    @Test func interruptsAreUnwantedWhilePolling() throws {
        try onMachine(MockNetworkMachine()) { space in
            let rig = try Rig(space, options: PortOptions(usesInterrupts: true))
            #expect(rig.port.receiver.memory.read16(at: rig.port.receiver.layout.availableOffset) == 1)
            #expect(rig.port.transmitter.memory.read16(at: rig.port.transmitter.layout.availableOffset) == 1)
            try rig.close()
        }
    }

    @Test func headerOfAForwardedFrameIsClear() throws {
        // The card writes a count of buffers into the header of what it receives, which is none of the sender's business.
        let machine = MockNetworkMachine(first: VirtioNetModel(network: .collected))
        try onMachine(machine) { space in
            var rig = try Rig(space)
            #expect(try rig.receive() == [])
            machine.card { card, bus in card.deliver([[UInt8](repeating: 7, count: 60)], bus: bus) }
            var packets = [Packet.none]
            var span = packets.mutableSpan
            #expect(try rig.port.receive(into: &span, pool: &rig.pool) == 1)
            let packet = span[0]
            let header = Int(packet.buffer) * PacketPool.stride + PacketPool.frameOffset - 12
            #expect(rig.pool.memory.bytes(at: header, count: 12) == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0])
            #expect(try rig.port.transmit([packet].span, pool: &rig.pool) == 1)
            #expect(rig.pool.memory.bytes(at: header, count: 12) == [UInt8](repeating: 0, count: 12))
            #expect(machine.card { card, _ in card.takeSentFrames() } == [[UInt8](repeating: 7, count: 60)])
            try rig.close()
        }
    }
}
