@testable import VFIO
@testable import VFIOPassthrough

/// Migration, on the kernel's sample mtty.
extension Contract.MigrationTests {
    private static let one: DeviceUUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa2001"
    private static let two: DeviceUUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa2002"
    private static let headerSize = 24
    private static let size = 60

    /// Runs a test with an open serial port. Where there is none the refusal is the test.
    private func withPort(_ scenario: Scenario, _ body: (borrowing Device, Migration) throws -> Void) throws {
        let bench = try scenario.makeBench()
        try bench.withSerialPorts([Self.one]) {
            let device = try Device(mediated: Self.one, in: try bench.makeSpace())
            // A view of its own scope: while it lives, the device cannot be closed.
            do { try body(device, try device.migration()) }
            try device.close()
        }
    }

    /// Changes the state, and expects that no stream begins with that.
    private func expectNoStream(
        _ migration: Migration, to state: MigrationState, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        guard let stream = try migration.changeState(to: state) else { return }
        Issue.record("\(state) gave a stream", sourceLocation: sourceLocation)
        try stream.close()
    }

    /// Changes to a state that gives a stream.
    private func begin(_ migration: Migration, _ state: MigrationState) throws -> MigrationStream {
        guard let stream = try migration.changeState(to: state) else { throw Errno.noMessage }
        return stream
    }

    private func send(_ text: String, to device: borrowing Device) throws {
        try device.withRegisters(.bar0) { registers in for byte in text.utf8 { registers.write8(byte, at: 0) } }
    }

    private func received(by device: borrowing Device) throws -> String {
        try device.withRegisters(.bar0) { registers in
            var bytes: [UInt8] = []
            while bytes.count < 64, registers.read8(at: 5) & 1 == 1 { bytes.append(registers.read8(at: 0)) }
            return String(decoding: bytes, as: UTF8.self)
        }
    }

    // MARK: What is there

    @Test("PCI devices of QEMU cannot migrate, and say so", arguments: Scenario.all)
    func notThere(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.edu, in: try bench.makeSpace())
        #expect(try device.supports(.migration) == false)
        #expect(try device.supports(.dmaLogging) == false)
        expectRefusal(.unsupported, .inappropriateIOCTLForDevice) { _ = try device.migration() }
        expectRefusal(.unsupported, .inappropriateIOCTLForDevice) { _ = try device.startDMALog(of: [0x1000..<0x2000]) }
        try device.close()
    }

    @Test("capabilities, size and state [vfio-pci-device-migration]", arguments: Scenario.all)
    func capabilities(_ scenario: Scenario) throws {
        try withPort(scenario) { _, migration in
            #expect(migration.capabilities == [.stopAndCopy, .peerToPeer, .preCopy])
            #expect(try migration.estimatedByteCount() == UInt64(Self.size))
            #expect(try migration.state() == .running)
            try migration.enablePrecopyInfoV2()
        }
    }

    @Test("PROBE tells what can be got and set [vfio-pci-device-migration]", arguments: Scenario.all)
    func probe(_ scenario: Scenario) throws {
        try withPort(scenario) { device, _ in
            let (get, set) = (CVFIO_DEVICE_FEATURE_GET, CVFIO_DEVICE_FEATURE_SET)
            let features: [(UInt32, UInt32)] = [
                (CVFIO_DEVICE_FEATURE_MIGRATION, get), (CVFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, get | set),
                (CVFIO_DEVICE_FEATURE_MIG_DATA_SIZE, get), (CVFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2, set),
                (CVFIO_DEVICE_FEATURE_DMA_LOGGING_START, set), (CVFIO_DEVICE_FEATURE_DMA_LOGGING_STOP, set),
                (CVFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, get),
            ]
            let kernel = device.core.kernel
            let descriptor = device.core.descriptor
            for (feature, allowed) in features {
                let answer = try kernel.feature(descriptor, feature | CVFIO_DEVICE_FEATURE_PROBE | allowed)
                #expect(answer == 0)
                let other = allowed ^ (get | set)
                if other != 0 {
                    expectErrno(.invalidArgument, "feature \(feature)") {
                        try kernel.feature(descriptor, feature | CVFIO_DEVICE_FEATURE_PROBE | other)
                    }
                }
                expectErrno(.invalidArgument, "feature \(feature)") { try kernel.feature(descriptor, feature) }
            }
            expectErrno(.invalidArgument) {
                try kernel.feature(descriptor, CVFIO_DEVICE_FEATURE_GET | CVFIO_DEVICE_FEATURE_MIGRATION)
            }
        }
    }

    // MARK: Streams and states

    @Test("the stream of STOP_COPY has the state, and then its end", arguments: Scenario.all)
    func stopCopy(_ scenario: Scenario) throws {
        try withPort(scenario) { _, migration in
            let stream = try begin(migration, .stopCopy)
            #expect(try migration.state() == .stopCopy)
            #expect(try stream.read(upTo: 10).count == 10)
            #expect(try stream.read(upTo: 4096).count == Self.size - 10)
            #expect(try stream.read(upTo: 4096).isEmpty)
            expectRefusal(.invalidArgument, .badFileDescriptor) { try stream.write([1]) }
            expectRefusal(.kernel, .invalidArgument) { _ = try stream.preCopyProgress() }
            try expectNoStream(migration, to: .running)
            #expect(try migration.state() == .running)
            expectRefusal(.revoked, .operationNotSupportedByDevice) { _ = try stream.read(upTo: 1) }
            try stream.close()
        }
    }

    @Test("PRE_COPY gives a part while the device runs, and STOP_COPY goes on", arguments: Scenario.all)
    func preCopy(_ scenario: Scenario) throws {
        try withPort(scenario) { _, migration in
            let stream = try begin(migration, .preCopy)
            #expect(try stream.preCopyProgress().initialByteCount == UInt64(Self.headerSize))
            #expect(try stream.read(upTo: 4096).count == Self.headerSize)
            let progress = try stream.preCopyProgress()
            #expect(progress == PreCopyProgress(initialByteCount: 0, dirtyByteCount: 0, isReinitialized: false))
            #expect(try stream.read(upTo: 4096).isEmpty)
            try expectNoStream(migration, to: .preCopyP2P)
            #expect(try stream.preCopyProgress() == progress)
            try expectNoStream(migration, to: .stopCopy)
            #expect(try stream.read(upTo: 4096).count == Self.size - Self.headerSize)
            try expectNoStream(migration, to: .stop)
            try expectNoStream(migration, to: .running)
            try stream.close()
        }
    }

    @Test("states that give no stream", arguments: Scenario.all)
    func states(_ scenario: Scenario) throws {
        try withPort(scenario) { _, migration in
            for state in [MigrationState.stop, .runningP2P, .stop, .running, .runningP2P, .running] {
                try expectNoStream(migration, to: state)
                #expect(try migration.state() == state)
            }
        }
    }

    @Test("from STOP_COPY there is no way to PRE_COPY, and nothing changes", arguments: Scenario.all)
    func noWay(_ scenario: Scenario) throws {
        try withPort(scenario) { _, migration in
            let stream = try begin(migration, .stopCopy)
            expectRefusal(.kernel, .invalidArgument) { _ = try migration.changeState(to: .preCopy) }
            #expect(try migration.state() == .stopCopy)
            #expect(try stream.read(upTo: 4096).count == Self.size)
            try stream.close()
            try expectNoStream(migration, to: .running)
            expectRefusal(.invalidArgument, nil) { _ = try migration.changeState(to: .error) }
            expectRefusal(.invalidArgument, nil) { _ = try migration.changeState(to: MigrationState(rawValue: 8)) }
        }
    }

    // MARK: Save and restore

    @Test("a device's state goes on in another device", arguments: Scenario.all)
    func move(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        try bench.withSerialPorts([Self.one, Self.two]) {
            let space = try bench.makeSpace()
            let old = try Device(mediated: Self.one, in: space)
            let new = try Device(mediated: Self.two, in: space)
            try send("half a line", to: old)
            let state = try old.migration().save(endingIn: .stop)
            #expect(state.count == Self.size)
            #expect(try old.migration().state() == .stop)
            #expect(try received(by: new) == "")
            try new.migration().restore(state)
            #expect(try new.migration().state() == .running)
            #expect(try received(by: new) == "half a line")
            try expectNoStream(try old.migration(), to: .running)
            try closeAll(new, old)
        }
    }

    @Test("a save that fails leaves the device as it was, running or stopped", arguments: Scenario.all)
    func failedSave(_ scenario: Scenario) throws {
        struct Full: Error {}
        try withPort(scenario) { device, migration in
            try send("kept", to: device)
            #expect(throws: Full.self) { try migration.save { _ in throw Full() } }
            #expect(try migration.state() == .running)
            #expect(try received(by: device) == "kept")
            #expect(try migration.save().count == Self.size)
            // One that was stopped stays so: its successor may be running already.
            try expectNoStream(migration, to: .stop)
            #expect(throws: Full.self) { try migration.save { _ in throw Full() } }
            #expect(try migration.state() == .stop)
            try expectNoStream(migration, to: .running)
        }
    }

    @Test("a save that is cancelled leaves the device running", arguments: Scenario.all)
    func cancelled(_ scenario: Scenario) async throws {
        try await Task {
            withUnsafeCurrentTask { $0?.cancel() }
            try withPort(scenario) { _, migration in
                #expect(throws: CancellationError.self) { try migration.save { _ in } }
                let afterSave = try migration.state()
                #expect(throws: CancellationError.self) { try migration.restore([1]) }
                let afterRestore = try migration.state()
                #expect([afterSave, afterRestore] == [.running, .running])
            }
        }.value
    }

    @Test("what is no state of such a device is refused, and the device runs", arguments: Scenario.all)
    func failedRestore(_ scenario: Scenario) throws {
        try withPort(scenario) { _, migration in
            let good = try migration.save()
            var bad = good
            bad[0] ^= 1
            expectRefusal(.kernel, .badAddress) { try migration.restore(bad) }
            #expect(try migration.state() == .running)
            expectRefusal(.kernel, .invalidArgument) { try migration.restore(Array(good.dropLast())) }
            #expect(try migration.state() == .running)
            expectRefusal(.noSpace, .noMemory) { try migration.restore(good + [0]) }
            #expect(try migration.state() == .running)
            try migration.restore(good)
            #expect(try migration.state() == .running)
        }
    }

    @Test("a migration that is under way is not begun again", arguments: Scenario.all)
    func twice(_ scenario: Scenario) throws {
        try withPort(scenario) { _, migration in
            let stream = try begin(migration, .preCopy)
            expectRefusal(.busy, nil) { _ = try migration.save() }
            expectRefusal(.busy, nil) { try migration.restore([]) }
            expectRefusal(.invalidArgument, nil) { _ = try migration.save(endingIn: .preCopy) }
            try migration.recover()
            expectRefusal(.revoked, .operationNotSupportedByDevice) { _ = try stream.read(upTo: 1) }
            try stream.close()
        }
    }
}
