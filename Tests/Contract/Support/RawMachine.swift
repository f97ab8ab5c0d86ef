@testable import VFIO

/// A virtual machine of KVM as its monitor makes it, without processors.
struct RawMachine: Closable {
    let kernel: any Kernel
    let descriptor: FileDescriptor

    init(_ kernel: any Kernel) throws {
        self.kernel = kernel
        let kvm = try kernel.open("/dev/kvm", .readWrite)
        descriptor = FileDescriptor(rawValue: Int32(try kernel.control(kvm, CKVM_CREATE_VM, value: 0)))
        try kernel.close(kvm)
    }

    func makeInterruptController() throws(Errno) -> Int {
        try kernel.control(descriptor, CKVM_CREATE_IRQCHIP, value: 0)
    }

    func setSlot(
        _ slot: UInt32, at address: UInt64, _ byteCount: UInt64, _ memory: UInt64, flags: UInt32 = 0
    ) throws(Errno) -> Int {
        try kernel.control(
            descriptor, CKVM_SET_USER_MEMORY_REGION,
            of: ckvm_userspace_memory_region(
                slot: slot, flags: flags, guest_phys_addr: address, memory_size: byteCount, userspace_addr: memory))
    }

    /// Whether nothing of the machine is at a page of the guest, by putting a slot there for a moment.
    func isFree(_ address: UInt64, _ memory: borrowing Memory) throws -> Bool {
        do throws(Errno) { _ = try setSlot(1000, at: address, 4096, memory.address) } catch .fileExists { return false }
        _ = try setSlot(1000, at: 0, 0, 0)
        return true
    }

    func createDevice(_ type: UInt32 = CKVM_DEV_TYPE_VFIO, flags: UInt32 = 0) throws(Errno) -> FileDescriptor {
        var request = ckvm_create_device(type: type, fd: 0, flags: flags)
        _ = try kernel.control(descriptor, CKVM_CREATE_DEVICE, with: &request)
        return FileDescriptor(rawValue: Int32(bitPattern: request.fd))
    }

    /// An attribute of a kvm-vfio device.
    func attribute(
        _ request: UInt = CKVM_SET_DEVICE_ATTR, of device: FileDescriptor, _ attribute: UInt64, _ file: Int32,
        group: UInt32 = CKVM_DEV_VFIO_FILE
    ) throws(Errno) -> Int {
        let value = RequestBuffer(file)
        defer { withExtendedLifetime(value) {} }
        return try kernel.control(
            device, request, of: ckvm_device_attr(flags: 0, group: group, attr: attribute, addr: value.address))
    }

    func interrupt(_ event: Int32, line: UInt32, flags: UInt32 = 0, resample: Int32 = 0) throws(Errno) -> Int {
        var request = ckvm_irqfd()
        request.fd = UInt32(bitPattern: event)
        request.gsi = line
        request.flags = flags
        request.resamplefd = UInt32(bitPattern: resample)
        return try kernel.control(descriptor, CKVM_IRQFD, with: &request)
    }

    func doorbell(
        _ event: Int32, at address: UInt64, length: UInt32, value: UInt64 = 0, flags: UInt32 = 0
    ) throws(Errno) -> Int {
        var request = ckvm_ioeventfd()
        request.fd = event
        request.addr = address
        request.len = length
        request.datamatch = value
        request.flags = flags
        return try kernel.control(descriptor, CKVM_IOEVENTFD, with: &request)
    }

    func close() throws { try kernel.close(descriptor) }
}

extension Scenario {
    /// Runs a test of virtual machines. Where the kernel has no KVM, the test is that there is none.
    func runWithKVM(
        sourceLocation: SourceLocation = #_sourceLocation, _ body: (borrowing Bench, RawMachine) throws -> Void
    ) throws {
        let bench = try makeBench(sourceLocation: sourceLocation)
        let kernel = bench.kernel
        guard offer.hasKVM else {
            #expect(throws: Errno.noSuchFileOrDirectory, sourceLocation: sourceLocation) {
                try kernel.open("/dev/kvm", .readWrite)
            }
            return
        }
        let machine = try RawMachine(kernel)
        try body(bench, machine)
        try machine.close()
    }
}
