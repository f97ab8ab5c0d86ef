@testable import VFIO

/// What the host says of a device, and waiting for several events at once.
extension Contract.DeviceWatchTests {
    @Test("the host's words come one by one, by every way of waiting", arguments: Scenario.all)
    func words(_ scenario: Scenario) async throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.nvme, in: bench.makeSpace())
        let watch = try device.watch()
        #expect(try watch.poll() == nil)
        #expect(try watch.wait(timeout: .milliseconds(20)) == nil)
        try Self.raise(.request, watch)
        try Self.raise(.error, watch)
        #expect(watch.withEvent { isReadable($0) })
        #expect(try watch.wait(timeout: .seconds(10)) == .error)
        #expect(try watch.poll() == .releaseRequested)
        #expect(try watch.poll() == nil)
        #expect(watch.withEvent { !isReadable($0) })

        var events = watch.events.makeAsyncIterator()
        let waiting = Task { [events = watch.events] in
            var iterator = events.makeAsyncIterator()
            return try await iterator.next()
        }
        try await Task.sleep(for: .milliseconds(5))
        try Self.raise(.request, watch)
        #expect(try await waiting.value == .releaseRequested)
        try Self.raise(.error, watch)
        #expect(try await events.next() == .error)
        try watch.close()
        #expect(try await events.next() == nil)
        try device.close()
    }

    @Test("a watch takes the two interrupts, and gives them back", arguments: Scenario.all)
    func exclusive(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.nvme, in: bench.makeSpace())
        let request = try device.enable(.request)
        expectRefusal(.busy) { _ = try device.watch() }
        try request.close()
        // The error interrupt is not left on by the attempt.
        let watch = try device.watch()
        expectRefusal(.busy) { _ = try device.enable(.error) }
        try watch.close()
        try device.enable(.error).close()
        try device.close()
    }

    @Test("a watch keeps its device open", arguments: Scenario.all)
    func lease(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.nvme, in: bench.makeSpace())
        let watch = try device.watch()
        do throws(VFIOError) {
            try device.close()
            Issue.record("it was closed")
        } catch {
            #expect(error.code == .inUse)
            #expect(error.hint?.contains("vector 0 of the request interrupt") == true, "\(error)")
        }
        try watch.close()
    }

    @Test("a device without the error interrupt is watched by the other", arguments: Scenario.all)
    func requestAlone(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.edu, in: bench.makeSpace())
        let watch = try device.watch()
        try Self.raise(.request, watch)
        #expect(try watch.wait(timeout: .seconds(10)) == .releaseRequested)
        try closeAll(watch, device)
    }

    @Test("one wait is for several vectors, a watch and a file", arguments: Scenario.all)
    func several(_ scenario: Scenario) async throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.nvme, in: bench.makeSpace())
        let vectors = try device.enable(.msix, vectors: 0..<3)
        let watch = try device.watch()
        let file = OwnedDescriptor(try bench.kernel.makeEvent(), of: bench.kernel)
        let set = try EventSet<String>(kernel: bench.kernel)
        #expect(try set.poll() == [])
        for vector in 0..<3 { try set.add(vector, of: vectors, as: "vector \(vector)") }
        try set.add(watch, as: "device")
        try set.add(file.descriptor, as: "file")
        #expect(try set.wait(timeout: .milliseconds(20)) == [])

        try vectors.trigger([0, 2])
        #expect(try Set(set.wait(timeout: .seconds(10))) == ["vector 0", "vector 2"])
        // Until it is taken it is there.
        #expect(try vectors.poll(0) == 1)
        #expect(try set.wait(timeout: .seconds(10)) == ["vector 2"])
        #expect(try vectors.poll(2) == 1)
        try Self.raise(.request, watch)
        #expect(try set.poll() == ["device"])
        #expect(set.withEvent { isReadable($0) })
        #expect(try watch.poll() == .releaseRequested)
        try bench.kernel.signal(file.descriptor)
        #expect(try set.poll() == ["file"])

        // By a task, and none of what was removed.
        try set.remove("file")
        let waiting = Task { [names = set.names] in
            var iterator = names.makeAsyncIterator()
            return try await iterator.next()
        }
        try await Task.sleep(for: .milliseconds(5))
        try vectors.trigger([1])
        #expect(try await waiting.value == ["vector 1"])
        #expect(try vectors.poll(1) == 1)

        // A sequence ends with the set; what is closed keeps silent in it, whatever was pending.
        try vectors.trigger([1])
        #expect(try set.poll() == ["vector 1"])
        try vectors.close()
        try watch.close()
        #expect(try set.poll() == [])
        var names = set.names.makeAsyncIterator()
        _ = consume set
        #expect(try await names.next() == nil)
        try file.close("close", "the event")
        try device.close()
    }

    @Test("what a set of events refuses", arguments: Scenario.all)
    func refusals(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.nvme, in: bench.makeSpace())
        let vectors = try device.enable(.msix, vectors: 0..<2)
        let set = try EventSet<Int>(kernel: bench.kernel)
        try set.add(0, of: vectors, as: 0)
        expectRefusal(.busy) { try set.add(1, of: vectors, as: 0) }
        expectRefusal(.busy, .fileExists) { try set.add(0, of: vectors, as: 1) }
        expectRefusal(.notFound) { try set.add(2, of: vectors, as: 2) }
        expectRefusal(.notFound) { try set.remove(7) }
        // A regular file is always readable, and epoll takes none.
        let file = try HostKernel().open("/proc/self/exe", .readOnly)
        expectRefusal(.invalidArgument, .notPermitted) { try set.add(file, as: 3) }
        try HostKernel().close(file)
        expectRefusal(.kernel, .badFileDescriptor) { try set.add(file, as: 3) }
        try set.remove(0)
        try set.add(0, of: vectors, as: 1)
        try closeAll(vectors, device)
    }

    // MARK: Support

    /// Raises one of the watch's interrupts from software.
    private static func raise(_ index: InterruptIndex, _ watch: borrowing DeviceWatch) throws {
        let line = try #require(watch.source.lines.first { $0.index == index })
        try line.core.setIRQAction(.trigger, line)
    }

    private func isReadable(_ event: FileDescriptor) -> Bool {
        (try? HostKernel().waitUntilReadable(event, timeout: 0)) == true
    }
}
