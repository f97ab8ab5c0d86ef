import Glibc

/// Whose memory a port's device reaches, and for how long.
@Suite(.enabled(if: !Machines.isInLab, "it delivers frames")) struct PoolTests {
    @Test func deviceKeepsTheMemoryOfAPoolThatHasEnded() throws {
        let machine = MockNetworkMachine(first: VirtioNetModel(network: .collected))
        try onMachine(machine) { space in
            let device = try Device(at: Machines.first, in: space)
            var pool = try PacketPool(in: space, count: 512)
            var port = try Port(device, pool: pool)
            try port.giveBuffers(of: &pool)
            let pinned = machine.machine.pinnedByteCount
            let start = pool.memory.iova
            try pool.close()
            #expect(machine.machine.pinnedByteCount == pinned)
            // What is allocated now is not where the device writes.
            let other = try space.allocate(byteCount: 512 * PacketPool.stride)
            #expect(other.iova != start)
            machine.card { card, bus in card.deliver([[UInt8](repeating: 0x41, count: 60)], bus: bus) }
            #expect(other.bytes(at: 0, count: other.byteCount).allSatisfy { $0 == 0 })
            #expect(try port.hasPackets())
            try other.close()
            end(port)
            #expect(machine.machine.pinnedByteCount == 0)
            #expect(machine.card { card, _ in card.status } == 0)
        }
    }

    private func end(_ port: consuming Port) {}

    @Test func poolsAtTheSameAddressAreToldApart() async {
        await #expect(processExitsWith: .signal(SIGILL)) {
            let machine = MockNetworkMachine()
            let (space, other) = (try AddressSpace(kernel: machine.kernel), try AddressSpace(kernel: machine.kernel))
            let device = try Device(at: Machines.first, in: space)
            let otherDevice = try Device(at: Machines.second, in: other)
            let pool = try PacketPool(in: space, count: 8)
            var otherPool = try PacketPool(in: other, count: 8)
            // Otherwise it ends without the signal.
            guard pool.memory.iova == otherPool.memory.iova else { return }
            var port = try Port(device, pool: pool)
            _ = otherDevice.address
            try port.reclaim(to: &otherPool)
        }
    }

    @Test func forwarderTakesPortsOfItsPoolOnly() async {
        await #expect(processExitsWith: .signal(SIGILL)) {
            let machine = MockNetworkMachine()
            let space = try AddressSpace(kernel: machine.kernel)
            let pool = try PacketPool(in: space, count: 1024)
            let otherPool = try PacketPool(in: space, count: 1024)
            let first = try Port(Device(at: Machines.first, in: space), pool: pool)
            let second = try Port(Device(at: Machines.second, in: space), pool: otherPool)
            _ = Forwarder(first, second, pool: pool, batchSize: 1)
        }
    }

    @Test(arguments: [16, 15]) func forwarderTakesNoPoolThatItsQueuesCouldEmpty(count: Int) async {
        let outcome: ExitTest.Condition = count < 16 ? .signal(SIGILL) : .success
        await #expect(processExitsWith: outcome) { [count] in
            let machine = MockNetworkMachine()
            let space = try AddressSpace(kernel: machine.kernel)
            let pool = try PacketPool(in: space, count: count)
            let options = PortOptions(queueSize: 4)
            let first = try Port(Device(at: Machines.first, in: space), pool: pool, options: options)
            let second = try Port(Device(at: Machines.second, in: space), pool: pool, options: options)
            let forwarder = Forwarder(first, second, pool: pool, batchSize: 1)
            try forwarder.close()
        }
    }

    @Test(arguments: [false, true]) func forwarderKeepsItsPool(isChanged: Bool) async {
        let outcome: ExitTest.Condition = isChanged ? .signal(SIGILL) : .success
        await #expect(processExitsWith: outcome) { [isChanged] in
            let machine = MockNetworkMachine()
            let space = try AddressSpace(kernel: machine.kernel)
            let pool = try PacketPool(in: space, count: 1024)
            let first = try Port(Device(at: Machines.first, in: space), pool: pool)
            let second = try Port(Device(at: Machines.second, in: space), pool: pool)
            var forwarder = Forwarder(first, second, pool: pool, batchSize: 1)
            if isChanged { forwarder.pool = try PacketPool(in: space, count: 1024) }
            try forwarder.forward()
        }
    }

    @Test(arguments: [8, 7]) func portSendsPacketsOfItsPoolOnly(buffer: UInt32) async {
        let outcome: ExitTest.Condition = buffer == 8 ? .signal(SIGILL) : .success
        await #expect(processExitsWith: outcome) { [buffer] in
            let machine = MockNetworkMachine()
            let space = try AddressSpace(kernel: machine.kernel)
            let large = try PacketPool(in: space, count: 16)
            var pool = try PacketPool(in: space, count: 8)
            var port = try Port(Device(at: Machines.first, in: space), pool: pool)
            var taken = large
            var packet = Packet.none
            for _ in 0...buffer { packet = taken.allocate(length: 60)! }
            _ = try port.transmit([packet].span, pool: &pool)
        }
    }
}
