/// What goes wrong while a port ends: that it is told once, that nothing is left behind, and that no device reaches memory
/// that has gone.
@Suite(.enabled(if: !Machines.isInLab, "only the mock's kernel and cards fail")) struct ClosingTests {
    @Test(
        "whichever call of the kernel fails, one error comes out and nothing is left behind", arguments: [false, true])
    func failingCalls(usesInterrupts: Bool) throws {
        for call in [MockCall.ioctl, .pread, .pwrite, .munmap] {
            var errorCount = 0
            for skipping in 0..<100 {
                let machine = MockNetworkMachine()
                var isOver = false
                try onMachine(machine) { space in
                    var rig = try Rig(space, options: PortOptions(usesInterrupts: usesInterrupts))
                    #expect(try rig.receive() == [])
                    #expect(try rig.send(3) == 3)
                    machine.machine.failNextCall(call, with: .noMemory, skipping: skipping)
                    let errors = rig.closingErrors()
                    isOver = machine.machine.pendingFailureCount == 1
                    machine.machine.clearFailures()
                    errorCount += errors.count
                    let isToldOnce = errors.count == (isOver ? 0 : 1) && errors.allSatisfy(Self.isKernelError)
                    #expect(isToldOnce, "\(call) number \(skipping): \(errors)")
                }
                if isOver { break }
                #expect(skipping < 99, "it never ends")
            }
            #expect(errorCount > 0, "no \(call) failed")
        }
    }

    private static func isKernelError(_ error: VirtioNetError) -> Bool {
        if case .vfio(let reason) = error { reason.errno == .noMemory } else { false }
    }

    @Test("a device that stays in its reset may do no DMA any more", arguments: [false, true])
    func resetThatDoesNotEnd(isClosed: Bool) throws {
        let machine = MockNetworkMachine(first: VirtioNetModel(network: .collected))
        try onMachine(machine) { space in
            let device = try Device(at: Machines.first, in: space)
            // Keeps the device open, and so as the port has left it: otherwise the kernel resets it.
            let bank = try device.makeRegisterBank(of: .bar4)
            var pool = try PacketPool(in: space, count: 512)
            var port = try Port(device, pool: pool)
            try port.giveBuffers(of: &pool)
            machine.card { card, _ in card.faults = [.staysInReset] }
            let error = isClosed ? closingError(of: port, &pool) : end(port)
            #expect(error == (isClosed ? .resetTimedOut : nil))
            // It has its queues still, and does what it did, but not to memory.
            #expect(machine.card { card, _ in card.status } == 15)
            #expect(machine.card { _, bus in bus.isMaster } == false)
            machine.card { card, bus in
                card.deliver([[UInt8](repeating: 0x41, count: 60)], bus: bus)
                card.faults = []
            }
            #expect(machine.machine.faults == [])
            try bank.close()
            try pool.close()
        }
    }

    /// Ends a port silently.
    private func end(_ port: consuming Port) -> VirtioNetError? { nil }

    private func closingError(of port: consuming Port, _ pool: inout PacketPool) -> VirtioNetError? {
        do throws(VirtioNetError) {
            try port.close(returningBuffersTo: &pool)
            return nil
        } catch { return error }
    }

    enum End: CaseIterable { case close, silent, setUp }

    @Test("a device that nothing stops is closed before its memory goes", arguments: End.allCases)
    func deviceThatIsNotStopped(_ end: End) throws {
        let machine = MockNetworkMachine()
        let mock = machine.machine
        try onMachine(machine) { space in
            mock.recordsCalls = true
            let rig = try Rig(space)
            let calls = mock.calls
            // An end makes two writes then: the reset, and the one that takes away the right to DMA.
            switch end {
            case .close:
                mock.failNextCall(.pwrite, with: .ioError, count: 2)
                #expect(rig.closingErrors().count == 1)
                try expectDeviceFirst(mock.calls[calls.count...])
            case .silent:
                mock.failNextCall(.pwrite, with: .ioError, count: 2)
                self.end(rig)
                try expectDeviceFirst(mock.calls[calls.count...])
            case .setUp:
                try rig.close()
                // The last write of a set-up lets the device go ahead.
                let writeCount = calls.count { $0.call == .pwrite }
                mock.failNextCall(.pwrite, with: .ioError, skipping: writeCount - 1, count: 3)
                let before = mock.calls.count
                #expect(driverError { _ = try Rig(space) } != nil)
                try expectDeviceFirst(mock.calls[before...])
            }
            #expect(mock.pendingFailureCount == 0)
        }
    }

    @Test(
        "a device that nothing stops, and that somebody keeps open, keeps its memory", arguments: [false, true],
        [false, true])
    func deviceThatSomebodyKeepsOpen(canBeReset: Bool, isClosed: Bool) throws {
        let machine = MockNetworkMachine(first: VirtioNetModel(network: .collected))
        let mock = machine.machine
        let space = try AddressSpace(kernel: machine.kernel)
        let device = try Device(at: Machines.first, in: space)
        let bank = try device.makeRegisterBank(of: .bar4)
        var pool = try PacketPool(in: space, count: 512)
        var port = try Port(device, pool: pool)
        try port.giveBuffers(of: &pool)
        mock.failNextCall(.pwrite, with: .ioError, count: 2)
        if !canBeReset { mock.failNextCall(.ioctl, with: .ioError, request: .deviceReset) }
        let error = isClosed ? closingError(of: port, &pool) : end(port)
        #expect(mock.pendingFailureCount == 0)
        let free = pool.freeCount
        try pool.close()
        if canBeReset {
            if isClosed {
                guard case .vfio? = error else {
                    Issue.record("\(String(describing: error))")
                    return
                }
            }
            #expect(free == (isClosed ? 512 : 256))
            #expect(mock.pinnedByteCount == 0)
            #expect(machine.card { card, _ in card.status } == 0)
        } else {
            if isClosed {
                guard case .notStopped? = error else {
                    Issue.record("\(String(describing: error))")
                    return
                }
            }
            #expect(free == 256)
            // It goes on, and finds what it was given.
            machine.card { card, bus in card.deliver([[UInt8](repeating: 0x41, count: 60)], bus: bus) }
            #expect(machine.card { card, _ in card.waitingFrameCount } == 0)
        }
        #expect(mock.faults == [])
        try bank.close()
    }

    private func end(_ rig: consuming Rig) {}

    /// The device was closed, and no memory had been unmapped before.
    private func expectDeviceFirst(
        _ calls: ArraySlice<MockCallRecord>, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let unmap = MockCallRecord(.ioctl, request: MockRequest.ioasUnmap.rawValue)
        let closing = try #require(calls.firstIndex { $0.call == .close }, sourceLocation: sourceLocation)
        let unmapping = try #require(calls.firstIndex(of: unmap), sourceLocation: sourceLocation)
        #expect(closing < unmapping, sourceLocation: sourceLocation)
    }
}
