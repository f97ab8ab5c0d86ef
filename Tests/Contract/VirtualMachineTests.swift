@testable import VFIO
@testable import VFIOPassthrough

/// Devices, registered with virtual machines.
extension Contract.VirtualMachineTests {
    @Test("a device is registered before it is opened, and let go of before it is closed", arguments: Scenario.all)
    func opening(_ scenario: Scenario) throws {
        try scenario.runWithKVM { bench, raw in
            let machine = try VirtualMachine(raw.descriptor, kernel: bench.kernel)
            #expect(try machine.canRegisterDevices())
            let space = try bench.makeSpace()
            // KVM keeps what it knows open: that it can be opened again shows that it was let go of.
            for _ in 0..<2 {
                let device = try Device(at: bench.memory, in: space, for: machine)
                try device.close()
            }
            // It may be the device alone that keeps the machine, and its monitor may have let go of it.
            let other = try RawMachine(bench.kernel)
            let last = try Device(
                at: bench.memory, in: space, for: VirtualMachine(other.descriptor, kernel: bench.kernel))
            try closeAll(other, last)
        }
    }

    @Test("an open device is registered, and keeps open until that ends", arguments: Scenario.all)
    func register(_ scenario: Scenario) throws {
        try scenario.runWithKVM { bench, raw in
            let machine = try VirtualMachine(raw.descriptor, kernel: bench.kernel)
            let space = try bench.makeSpace()
            let device = try Device(at: bench.memory, in: space)
            let registration = try machine.register(device)
            let error = closingError(device)
            #expect(error?.code == .inUse)
            #expect(error?.description.contains("its registration with a virtual machine") == true)
            try registration.close()
            let again = try Device(at: bench.memory, in: space, for: machine)
            // As often as one likes, with the same machine.
            let one = try machine.register(again)
            let two = try machine.register(again)
            try closeAll(one, two, again)
        }
    }

    @Test("functions of one group are one registration with type1", arguments: Scenario.all)
    func group(_ scenario: Scenario) throws {
        try scenario.runWithKVM { bench, raw in
            let machine = try VirtualMachine(raw.descriptor, kernel: bench.kernel)
            let space = try bench.makeSpace()
            let one = try Device(at: bench.busMemory, in: space, for: machine)
            let two = try Device(at: bench.busEdu, in: space, for: machine)
            try one.close()
            let again = try Device(at: bench.busMemory, in: space, for: machine)
            try closeAll(two, again)
        }
    }

    @Test("a device has one machine, and a machine one kvm-vfio device", arguments: Scenario.all)
    func busy(_ scenario: Scenario) throws {
        try scenario.runWithKVM { bench, raw in
            let other = try RawMachine(bench.kernel)
            let machine = try VirtualMachine(raw.descriptor, kernel: bench.kernel)
            let second = try VirtualMachine(other.descriptor, kernel: bench.kernel)
            let device = try Device(at: bench.memory, in: bench.makeSpace(), for: machine)
            expectRefusal(.busy) { _ = try second.register(device) }
            let rival = try VirtualMachine(raw.descriptor, kernel: bench.kernel)
            let edu = try Device(at: bench.edu, in: bench.makeSpace())
            expectRefusal(.busy, .resourceBusy) { _ = try rival.register(edu) }
            try closeAll(edu, device, other)
        }
    }

    @Test("what is no virtual machine is refused", arguments: Scenario.all)
    func stranger(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        expectRefusal(.kernel, .badFileDescriptor) {
            _ = try VirtualMachine(FileDescriptor(rawValue: 9999), kernel: bench.kernel)
        }
        let event = try bench.kernel.makeEvent()
        let machine = try VirtualMachine(event, kernel: bench.kernel)
        expectRefusal(.invalidArgument, .inappropriateIOCTLForDevice) { _ = try machine.canRegisterDevices() }
        let space = try bench.makeSpace()
        expectRefusal(.invalidArgument, .inappropriateIOCTLForDevice) {
            _ = try Device(at: bench.edu, in: space, for: machine)
        }
        // Nothing is left of the attempt.
        let device = try Device(at: bench.edu, in: space)
        try device.close()
        try bench.kernel.close(event)
    }

    @Test("the kvm-vfio device's own answers", arguments: Scenario.all)
    func answers(_ scenario: Scenario) throws {
        try scenario.runWithKVM { bench, raw in
            let add = CKVM_DEV_VFIO_FILE_ADD
            let remove = CKVM_DEV_VFIO_FILE_DEL
            _ = try raw.createDevice(flags: CKVM_CREATE_DEVICE_TEST)
            expectErrno(.operationNotSupportedByDevice) { Int(try raw.createDevice(99).rawValue) }
            let bridge = try raw.createDevice()
            expectErrno(.resourceBusy) { Int(try raw.createDevice().rawValue) }
            // One that is there is no reason to say that there is none.
            _ = try raw.createDevice(flags: CKVM_CREATE_DEVICE_TEST)
            #expect(try raw.attribute(CKVM_HAS_DEVICE_ATTR, of: bridge, add, 0) == 0)
            #expect(try raw.attribute(CKVM_HAS_DEVICE_ATTR, of: bridge, remove, 0) == 0)
            expectErrno(.noSuchAddressOrDevice) { try raw.attribute(CKVM_HAS_DEVICE_ATTR, of: bridge, 9, 0) }
            expectErrno(.noSuchAddressOrDevice) {
                try raw.attribute(CKVM_HAS_DEVICE_ATTR, of: bridge, add, 0, group: 2)
            }
            expectErrno(.noSuchAddressOrDevice) { try raw.attribute(of: bridge, 9, 0) }
            expectErrno(.noSuchAddressOrDevice) { try raw.attribute(of: bridge, add, 0, group: 2) }
            expectErrno(.notPermitted) { try raw.attribute(CKVM_GET_DEVICE_ATTR, of: bridge, add, 0) }
            expectErrno(.inappropriateIOCTLForDevice) {
                try bench.kernel.control(bridge, CKVM_CREATE_IRQCHIP, value: 0)
            }
            expectErrno(.badFileDescriptor) { try raw.attribute(of: bridge, add, 9999) }
            expectErrno(.badFileDescriptor) { try raw.attribute(of: bridge, remove, 9999) }
            let event = try bench.kernel.makeEvent()
            expectErrno(.invalidArgument) { try raw.attribute(of: bridge, add, event.rawValue) }
            expectErrno(.noSuchFileOrDirectory) { try raw.attribute(of: bridge, remove, event.rawValue) }
            try bench.kernel.close(event)

            let device = try Device(at: bench.memory, in: bench.makeSpace())
            let file = device.core.descriptor.rawValue
            expectErrno(.noSuchFileOrDirectory) { try raw.attribute(of: bridge, remove, file) }
            #expect(try raw.attribute(of: bridge, add, file) == 0)
            expectErrno(.fileExists) { try raw.attribute(of: bridge, add, file) }
            #expect(try raw.attribute(of: bridge, remove, file) == 0)
            expectErrno(.noSuchFileOrDirectory) { try raw.attribute(of: bridge, remove, file) }
            try device.close()
            try bench.kernel.close(bridge)
            // Closed, it makes room for another one.
            try bench.kernel.close(try raw.createDevice())
        }
    }
}

private func closingError(_ device: consuming Device) -> VFIOError? {
    do throws(VFIOError) {
        try device.close()
        return nil
    } catch { return error }
}
