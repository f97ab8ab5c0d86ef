@testable import VFIO

/// Interrupts beyond the plain ones: masks, several vectors at once, loopback, and what a reset leaves of them.
extension Contract.InterruptVectorTests {
    // MARK: INTx

    @Test("INTx that is masked comes when it is unmasked", arguments: Scenario.all)
    func mask(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let edu = try EduDriver(at: bench.edu, in: bench.makeSpace())
        let vector = try edu.device.enable(.intx)
        try vector.mask()
        // Masking twice is masking once.
        try vector.mask()
        try edu.raise(1)
        #expect(try vector.wait(timeout: .milliseconds(50)) == nil)
        try vector.unmask()
        #expect(try vector.wait(timeout: .seconds(10)) == 1)
        // Lowered while masked, it is forgotten.
        try edu.acknowledge(1)
        try vector.mask()
        try edu.raise(2)
        try edu.acknowledge(2)
        try vector.unmask()
        #expect(try vector.wait(timeout: .milliseconds(50)) == nil)
        try closeAll(vector, edu)
    }

    @Test("an event unmasks INTx, as KVM's resampling does", arguments: Scenario.all)
    func unmaskEvent(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let edu = try EduDriver(at: bench.edu, in: bench.makeSpace())
        let vector = try edu.device.enable(.intx)
        let resample = try vector.withUnmaskEvent { $0 }
        #expect(try vector.withUnmaskEvent { $0 } == resample)
        try edu.raise(1)
        #expect(try vector.wait(timeout: .seconds(10)) == 1)
        #expect(try vector.wait(timeout: .milliseconds(50)) == nil)
        // The level is still up, so it comes again at once.
        try bench.kernel.signal(resample)
        #expect(try vector.wait(timeout: .seconds(10)) == 1)
        try edu.acknowledge(1)
        try bench.kernel.signal(resample)
        #expect(try vector.wait(timeout: .milliseconds(50)) == nil)
        try edu.expectInterrupt(4, vector)
        try closeAll(vector, edu)
    }

    @Test("INTx does not come while the command register disables it", arguments: Scenario.all)
    func disabledByCommand(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let edu = try EduDriver(at: bench.edu, in: bench.makeSpace())
        let vector = try edu.device.enable(.intx)
        try edu.device.updateCommand { $0.insert(.interruptDisable) }
        try edu.raise(1)
        #expect(try vector.wait(timeout: .milliseconds(50)) == nil)
        // Not even by an unmask.
        try vector.unmask()
        #expect(try vector.wait(timeout: .milliseconds(50)) == nil)
        try edu.device.updateCommand { $0.remove(.interruptDisable) }
        #expect(try vector.wait(timeout: .seconds(10)) == 1)
        try edu.acknowledge(1)
        try closeAll(vector, edu)
    }

    @Test("what cannot be masked says so", arguments: Scenario.all)
    func noMask(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.edu, in: bench.makeSpace())
        let msi = try device.enable(.msi)
        expectRefusal(.unsupported) { try msi.mask() }
        expectRefusal(.unsupported) { try msi.unmask() }
        expectRefusal(.unsupported) { try msi.withUnmaskEvent { _ in } }
        for action in [CVFIO_IRQ_SET_ACTION_MASK, CVFIO_IRQ_SET_ACTION_UNMASK] {
            expectErrno(.inappropriateIOCTLForDevice) {
                try bench.kernel.setInterrupts(device.core.descriptor, .msi, action, 0, 1)
            }
        }
        try msi.close()
        let intx = try device.enable(.intx)
        // Masking by an event is not there.
        expectErrno(.inappropriateIOCTLForDevice) {
            try bench.kernel.setInterrupts(
                device.core.descriptor, .intx, CVFIO_IRQ_SET_ACTION_MASK, 0, 1,
                events: [intx.withEvent { $0 }.rawValue])
        }
        // A second unmask event is refused, while there is one.
        try intx.withUnmaskEvent { _ in }
        expectErrno(.resourceBusy) {
            try bench.kernel.setInterrupts(
                device.core.descriptor, .intx, CVFIO_IRQ_SET_ACTION_UNMASK, 0, 1,
                events: [intx.withEvent { $0 }.rawValue])
        }
        try intx.close()
        for action in [CVFIO_IRQ_SET_ACTION_MASK, CVFIO_IRQ_SET_ACTION_UNMASK, CVFIO_IRQ_SET_ACTION_TRIGGER] {
            expectErrno(.invalidArgument) {
                try bench.kernel.setInterrupts(device.core.descriptor, .intx, action, 0, 1)
            }
        }
        try device.close()
    }

    // MARK: Several vectors

    @Test("all 65 vectors of MSI-X in one call", arguments: Scenario.all)
    func all(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.nvme, in: bench.makeSpace())
        let vectors = try device.enable(.msix, vectors: 0..<65)
        #expect(vectors.vectors == Array(0..<65))
        #expect(try device.read { try $0.msix()?.isEnabled } == true)
        try vectors.trigger()
        for vector in 0..<65 { #expect(try vectors.poll(vector) == 1) }
        try vectors.trigger([1, 64])
        try vectors.trigger([64])
        #expect(try vectors.wait(64, timeout: .seconds(10)) == 2)
        #expect(try vectors.poll(1) == 1)
        #expect(try vectors.poll(2) == nil)
        expectRefusal(.notFound) { _ = try vectors.poll(65) }
        try vectors.close()
        #expect(try device.read { try $0.msix()?.isEnabled } == false)
        try device.close()
    }

    @Test("vectors with holes, which stay as they were", arguments: Scenario.all)
    func holes(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.nvme, in: bench.makeSpace())
        let some = try device.enable(.msix, vectors: [7, 3, 5])
        #expect(some.vectors == [7, 3, 5])
        // Around those that are on, between them, and (where the kernel can only by a stop of all) beyond them.
        let more = try device.enable(.msix, vectors: [2, 4, 6, 20])
        try some.trigger()
        for vector in [3, 5, 7] { #expect(try some.poll(vector) == 1) }
        for vector in [2, 4, 6, 20] { #expect(try more.poll(vector) == nil) }
        try more.trigger()
        for vector in [2, 4, 6, 20] { #expect(try more.poll(vector) == 1) }
        for vector in [3, 5, 7] { #expect(try some.poll(vector) == nil) }
        expectRefusal(.busy) { _ = try device.enable(.msix, vectors: [10, 5]) }
        let tenth = try device.enable(.msix, vector: 10)
        try tenth.expectTrigger()
        try some.close()
        try more.trigger()
        for vector in [2, 4, 6, 20] { #expect(try more.poll(vector) == 1) }
        try closeAll(tenth, more, device)
    }

    @Test("vectors that cannot be are refused, and none is on then", arguments: Scenario.all)
    func refusals(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.nvme, in: bench.makeSpace())
        expectRefusal(.invalidArgument) { _ = try device.enable(.msix, vectors: []) }
        expectRefusal(.invalidArgument) { _ = try device.enable(.msix, vectors: [1, 1]) }
        expectRefusal(.notFound) { _ = try device.enable(.msix, vectors: [0, 65]) }
        expectRefusal(.notFound) { _ = try device.enable(.msix, vectors: [-1]) }
        let vectors = try device.enable(.msix, vectors: 0..<2)
        try closeAll(vectors, device)
    }

    @Test("a bad event among several takes all of its call back", arguments: Scenario.all)
    func badEvent(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.nvme, in: bench.makeSpace())
        let event = try bench.kernel.makeEvent()
        expectErrno(.badFileDescriptor) {
            try bench.kernel.setInterrupts(
                device.core.descriptor, .msix, CVFIO_IRQ_SET_ACTION_TRIGGER, 0, 2,
                events: [event.rawValue, 1 << 20])
        }
        // Off altogether, so the other kind can be on.
        let intx = try device.enable(.intx)
        try intx.close()
        // While on: only what the call reached is off, vector 3 is not.
        let vectors = try device.enable(.msix, vectors: 0..<4)
        expectErrno(.badFileDescriptor) {
            try bench.kernel.setInterrupts(
                device.core.descriptor, .msix, CVFIO_IRQ_SET_ACTION_TRIGGER, 1, 3,
                events: [event.rawValue, 1 << 20, event.rawValue])
        }
        try vectors.trigger()
        #expect(try vectors.poll(0) == 1)
        #expect(try vectors.poll(1) == nil)
        #expect(try vectors.poll(2) == nil)
        #expect(try vectors.poll(3) == 1)
        try vectors.close()
        try bench.kernel.close(event)
        try device.close()
    }

    @Test("what cannot grow refuses to", arguments: Scenario.all)
    func growth(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.nvme, in: bench.makeSpace())
        let vectors = try device.enable(.msix, vectors: 0..<2)
        let event = try bench.kernel.makeEvent()
        let descriptor = device.core.descriptor
        let grow = {
            try bench.kernel.setInterrupts(
                descriptor, .msix, CVFIO_IRQ_SET_ACTION_TRIGGER, 8, 1, events: [event.rawValue])
        }
        if bench.offer.hasDynamicMSIX {
            #expect(try grow() == 0)
        } else {
            expectErrno(.invalidArgument) { try grow() }
        }
        try vectors.close()
        try bench.kernel.close(event)
        try device.close()
    }

    @Test("what was switched off altogether is set up anew, for fewer vectors", arguments: Scenario.all)
    func fewer(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.nvme, in: bench.makeSpace())
        let many = try device.enable(.msix, vectors: 0..<4)
        try many.close()
        let one = try device.enable(.msix, vector: 0)
        let third = try device.enable(.msix, vector: 3)
        try one.trigger()
        try third.trigger()
        #expect(try one.poll() == 1)
        #expect(try third.poll() == 1)
        try closeAll(third, one, device)
    }

    // MARK: Error and request

    @Test("the error and the request interrupt go with any other", arguments: Scenario.all)
    func errorAndRequest(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.nvme, in: bench.makeSpace())
        let vectors = try device.enable(.msix, vectors: 0..<2)
        let error = try device.enable(.error)
        let request = try device.enable(.request)
        try error.trigger()
        try request.trigger()
        #expect(try error.poll() == 1)
        #expect(try request.poll() == 1)
        expectRefusal(.busy) { _ = try device.enable(.error) }
        expectRefusal(.notFound) { _ = try device.enable(.error, vector: 1) }
        try error.close()
        expectErrno(.invalidArgument) {
            try bench.kernel.setInterrupts(device.core.descriptor, .error, CVFIO_IRQ_SET_ACTION_TRIGGER, 0, 1)
        }
        try request.expectTrigger()
        try closeAll(request, vectors, device)
    }

    @Test("each kind can be raised for a test", arguments: Scenario.all)
    func loopback(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.nvme, in: bench.makeSpace())
        for index in [InterruptIndex.intx, .msix, .error, .request] {
            let vectors = try device.enable(index, vectors: [0])
            // By a list of which (VFIO_IRQ_SET_DATA_BOOL), and by number (VFIO_IRQ_SET_DATA_NONE).
            try vectors.trigger([0])
            #expect(try vectors.poll(0) == 1)
            #expect(
                try bench.kernel.setInterrupts(
                    device.core.descriptor, index, CVFIO_IRQ_SET_ACTION_TRIGGER, 0, 1) == 0)
            #expect(try vectors.poll(0) == 1)
            // None of them is none.
            try vectors.trigger([])
            #expect(try vectors.poll(0) == nil)
            try vectors.close()
        }
        try device.close()
    }

    // MARK: Reset

    @Test("interrupts stay on through a reset", arguments: Scenario.all)
    func reset(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.nvme, in: bench.makeSpace())
        let vectors = try device.enable(.msix, vectors: [0, 2])
        try device.reset()
        // The device has its vectors, and the kernel its events.
        #expect(try device.read { try $0.msix()?.isEnabled } == true)
        try vectors.trigger()
        #expect(try vectors.poll(0) == 1)
        #expect(try vectors.poll(2) == 1)
        let third = try device.enable(.msix, vector: 1)
        try third.expectTrigger()
        try closeAll(third, vectors)
        let intx = try device.enable(.intx)
        try device.reset()
        try intx.expectTrigger()
        try closeAll(intx, device)
    }
}
