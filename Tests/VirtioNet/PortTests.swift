extension VirtioNetTests {
    @Suite struct PortTests {
        @Test("what the card is") func identity() throws {
            try onMachine(Machines.make()) { space in
                let rig = try Rig(space)
                #expect(rig.port.features == [.mac, .status, .version1, .accessPlatform])
                #expect(rig.port.macAddress?.description == "52:54:00:00:00:07")
                #expect(rig.port.address == .pci(Machines.first))
                #expect(rig.port.receiver.size == 256 && rig.port.transmitter.size == 256)
                try rig.port.check()
                try rig.close()
            }
        }

        @Test("each frame that is sent comes back, in order and as it was") func loopback() throws {
            try onMachine(Machines.make()) { space in
                var rig = try Rig(space)
                #expect(try rig.receive() == [])
                var numbers: [Int] = []
                // More than the queues are long, so that their ends are passed.
                while numbers.count < 640 {
                    #expect(try rig.send(64) == 64)
                    numbers += try rig.receive(all: 64)
                }
                #expect(numbers == Array(0..<640))
                try rig.close()
            }
        }

        @Test("queues as short as is asked for") func shortQueues() throws {
            try onMachine(Machines.make()) { space in
                var rig = try Rig(space, options: PortOptions(queueSize: 7))
                #expect(rig.port.receiver.size == 4 && rig.port.transmitter.size == 4)
                #expect(try rig.receive() == [])
                var numbers: [Int] = []
                while numbers.count < 40 {
                    #expect(try rig.send(64) == 4)
                    numbers += try rig.receive(all: 4)
                }
                #expect(numbers == Array(0..<40))
                try rig.close()
            }
        }

        @Test("a pool that is smaller than the queue") func smallPool() throws {
            try onMachine(Machines.make()) { space in
                var rig = try Rig(space, bufferCount: 8)
                // Two are kept from the card, to send with.
                let kept = [rig.pool.allocate(length: 60), rig.pool.allocate(length: 60)].compactMap(\.self)
                #expect(try rig.receive() == [])
                #expect(rig.port.receiver.outstandingCount == 6)
                for packet in kept { rig.pool.free(packet) }
                #expect(try rig.send(64) == 2)
                #expect(try rig.receive(all: 2) == [0, 1])
                try rig.port.reclaim(to: &rig.pool)
                #expect(rig.pool.freeCount + rig.port.receiver.outstandingCount == 8)
                try rig.close()
            }
        }

        @Test("waiting for a frame") func interrupt() throws {
            try onMachine(Machines.make()) { space in
                var rig = try Rig(space, options: PortOptions(usesInterrupts: true))
                #expect(try rig.receive() == [])
                #expect(try rig.port.wait(timeout: .milliseconds(20)) == false)
                for round in 0..<20 {
                    #expect(try rig.send(3) == 3)
                    var numbers: [Int] = []
                    while numbers.count < 3 {
                        try #require(try rig.port.wait(timeout: .seconds(10)))
                        numbers += try rig.receive()
                    }
                    #expect(numbers == [round * 3, round * 3 + 1, round * 3 + 2])
                }
                #expect(try rig.port.wait(timeout: .zero) == false)
                try rig.close()
            }
        }

        @Test("a port without interrupts does not wait") func noInterrupts() throws {
            try onMachine(Machines.make()) { space in
                var rig = try Rig(space)
                #expect(driverError { _ = try rig.port.wait() } == .noInterrupts)
                try rig.close()
            }
        }

        @Test("frames that were sent before are not there for the next port") func again() throws {
            try onMachine(Machines.make()) { space in
                for _ in 0..<3 {
                    var rig = try Rig(space)
                    #expect(try rig.receive() == [])
                    #expect(try rig.send(10) == 10)
                    #expect(try rig.receive(all: 10) == Array(0..<10))
                    try rig.close()
                }
            }
        }

        @Test("a port that is not closed gives its device back") func silentEnd() throws {
            try onMachine(Machines.make()) { space in
                do {
                    var rig = try Rig(space)
                    #expect(try rig.receive() == [])
                }
                let rig = try Rig(space)
                try rig.close()
            }
        }

        @Test("what is no network card is refused") func otherDevice() throws {
            try onMachine(Machines.make()) { space in
                let device = try Device(at: Machines.edu, in: space)
                let pool = try PacketPool(in: space, count: 1)
                #expect(refusal(of: device, pool: pool) == .notVirtioNet(vendor: 0x1234, device: 0x11e8))
                try pool.close()
            }
        }

        @Test("a pool of another address space is refused") func otherSpace() throws {
            let machine = Machines.make()
            try onMachine(machine) { space in
                let other = try AddressSpace(kernel: machine.kernel)
                let device = try Device(at: Machines.first, in: space)
                // With type1 an address space maps nothing before it has a device.
                let otherDevice = try Device(at: Machines.second, in: other)
                let pool = try PacketPool(in: other, count: 1)
                #expect(refusal(of: device, pool: pool) == .poolInOtherSpace)
                try pool.close()
                try otherDevice.close()
            }
        }

        private func refusal(of device: consuming Device, pool: borrowing PacketPool) -> VirtioNetError? {
            do throws(VirtioNetError) {
                _ = try Port(device, pool: pool)
                return nil
            } catch { return error }
        }
    }
}
