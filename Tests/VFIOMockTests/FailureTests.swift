import Synchronization
import VFIOPassthrough

@Suite("Failures on demand")
struct FailureTests {
    @Test func theNextCallFailsAndOnlyIt() throws {
        let machine = MockMachine()
        machine.failNextCall(.open, with: .tooManyOpenFiles)
        #expect(throws: Errno.tooManyOpenFiles) { try machine.kernel.open("/dev/iommu", .readWrite) }
        try machine.kernel.close(try machine.kernel.open("/dev/iommu", .readWrite))
        #expect(machine.openFiles.isEmpty)
        #expect(machine.pendingFailureCount == 0)
    }

    @Test func someCallsMayPassBefore() throws {
        let machine = MockMachine()
        machine.failNextCall(.eventfd, with: .noMemory, skipping: 1, count: 2)
        var results: [Bool] = []
        for _ in 0..<4 {
            if let event = try? machine.kernel.makeEvent() {
                try machine.kernel.close(event)
                results.append(true)
            } else {
                results.append(false)
            }
        }
        #expect(results == [true, false, false, true])
    }

    @Test func anIoctlCanBeChosenByItsRequest() throws {
        let machine = MockMachine()
        let driver = Driver(machine)
        machine.failNextCall(.ioctl, with: .noMemory, request: .ioasMap)
        let (iommufd, ioas) = try driver.openIOMMUFD()
        let memory = try driver.allocate(4096)
        #expect(throws: Errno.noMemory) {
            try driver.map(iommufd, ioas, memory.baseAddress!, 4096, at: 0x1000)
        }
        #expect(machine.mappings.isEmpty)
        try driver.map(iommufd, ioas, memory.baseAddress!, 4096, at: 0x1000)
        #expect(machine.mappings.count == 1)
        try driver.close(iommufd)
    }

    @Test func aFailedCloseClosesAllTheSame() throws {
        let machine = MockMachine()
        let file = try machine.kernel.open("/dev/iommu", .readWrite)
        machine.failNextCall(.close, with: .ioError)
        #expect(throws: Errno.ioError) { try machine.kernel.close(file) }
        // That its number is free is not to be tried: another test may have it by now.
        #expect(machine.openFiles.isEmpty)
    }

    /// Every call of the seam can be made to fail.
    @Test(arguments: MockCall.allCases)
    func everyCallCanFail(call: MockCall) throws {
        let machine = MockMachine()
        let kernel = machine.kernel
        let event = try kernel.makeEvent()
        machine.failNextCall(call, with: .permissionDenied)
        #expect(throws: Errno.permissionDenied) {
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 8, alignment: 8)
            defer { buffer.deallocate() }
            switch call {
            case .open: _ = try kernel.open("/dev/iommu", .readWrite)
            case .close: try kernel.close(kernel.makeEvent())
            case .dup: _ = try kernel.duplicate(event)
            case .lseek: _ = try kernel.size(of: event)
            case .read: _ = try kernel.read(event, into: buffer)
            case .write: _ = try kernel.write(event, from: UnsafeRawBufferPointer(buffer))
            case .pread: _ = try kernel.read(event, at: 0, into: buffer)
            case .pwrite: _ = try kernel.write(event, at: 0, from: UnsafeRawBufferPointer(buffer))
            case .ioctl: _ = try kernel.control(event, 0, value: 0)
            case .mmap: _ = try kernel.map(MemoryMapRequest(byteCount: 4096, source: .anonymous(hugePageSize: nil)))
            case .munmap: try kernel.unmap(buffer)
            case .eventfd: _ = try kernel.makeEvent()
            case .poll: _ = try kernel.waitUntilReadable(event, timeout: 0)
            case .sendmsg: try kernel.send(event, over: event)
            case .recvmsg: _ = try kernel.receiveDescriptor(from: event)
            case .readlink: _ = try kernel.readLink("/sys/bus/pci/devices/0000:00:02.0")
            case .readFile: _ = try kernel.readFile("/proc/sys/kernel/osrelease")
            case .writeFile: try kernel.writeFile("/sys/bus/pci/drivers_probe", [])
            case .readdir: _ = try kernel.names(in: "/sys")
            case .getrlimit: _ = try kernel.memoryLockLimit()
            }
        }
        try kernel.close(event)
    }

    @Test func callsAreRecordedOnRequest() throws {
        let machine = MockMachine()
        machine.recordsCalls = true
        let driver = Driver(machine)
        let iommufd = try driver.kernel.open("/dev/iommu", .readWrite)
        try driver.ask(iommufd, ABI.makeIOAS())
        try driver.close(iommufd)
        #expect(machine.calls == [.init(.open), .init(.ioctl, request: CIOMMU_IOAS_ALLOC), .init(.close)])
    }

    @Test func lockedMemoryHasALimit() throws {
        let machine = PathTests.makeMachine(.stock)
        machine.memoryLockLimit = 8192
        let driver = Driver(machine)
        #expect(try driver.kernel.memoryLockLimit() == 8192)
        let (container, group, device) = try driver.openLegacy("0000:00:02.0", group: 1)
        let memory = try driver.allocate(16384)
        try driver.map(container, memory.baseAddress!, 8192, at: 0)
        #expect(throws: Errno.noMemory) { try driver.map(container, memory.baseAddress! + 8192, 4096, at: 0x10000) }
        try driver.close(device, group, container)
    }

    /// Where the number of vectors is fixed, all go off for another one. The kernel refuses to switch the new set on, and
    /// then the old one.
    @Test("vectors that are lost belong to nobody, and their owners are told")
    func lostVectors() async throws {
        let machine = MockMachine(.linux6_1)
        machine.plug(NVMeMemoryModel(), at: "0000:00:04.0")
        let device = try Device(at: "0000:00:04.0", in: AddressSpace(kernel: machine.kernel))
        let msix = try device.interrupts(.msix)
        #expect(msix.isFixedSize)
        let first = try msix.enable(vector: 0)
        let events = first.events
        async let waiting: VFIOError? = {
            do {
                for try await _ in events {}
                return nil
            } catch { return error as? VFIOError }
        }()
        machine.failNextCall(.ioctl, with: .noMemory, request: .deviceSetIRQs, skipping: 1, count: 2)
        let refusal = #expect(throws: VFIOError.self) { _ = try msix.enable(vector: 1) }
        #expect(refusal?.errno == .noMemory)
        #expect(refusal?.hint?.contains("the kernel refused to switch them on again") == true)
        #expect(await waiting?.code == .interruptLost)

        // Its number is free for another one, which is not touched by what is left of the first.
        let again = try msix.enable(vector: 0)
        func expectLoss(_ body: () throws -> Void) {
            let error = #expect(throws: VFIOError.self) { try body() }
            #expect(error?.code == .interruptLost)
        }
        expectLoss { _ = try first.poll() }
        expectLoss { _ = try first.wait(timeout: .seconds(10)) }
        expectLoss { try first.trigger() }
        #expect(try again.poll() == nil)
        try first.close()
        try again.trigger()
        #expect(try again.wait(timeout: .seconds(10)) == 1)
    }

    /// A vector that several threads use.
    private final class SharedVector: Sendable {
        let vector: InterruptVector
        init(_ vector: consuming InterruptVector) { self.vector = vector }
    }

    /// Runs code before the next wait, as another thread may.
    private final class WaitHook: ForwardingKernel {
        let kernel: any Kernel
        let beforeWait = Mutex<(@Sendable () -> Void)?>(nil)

        init(_ kernel: any Kernel) { self.kernel = kernel }

        func willCall(_ name: @autoclosure () -> String) {
            if name() == "poll" { beforeWait.withLock { $0.take() }?() }
        }
    }

    @Test("the first that is told of the loss of a vector takes nothing from the others that wait")
    func lossWithSeveralWaiters() throws {
        let machine = MockMachine(.linux6_1)
        machine.plug(NVMeMemoryModel(), at: "0000:00:04.0")
        let kernel = WaitHook(machine.kernel)
        let device = try Device(at: "0000:00:04.0", in: AddressSpace(kernel: kernel))
        let msix = try device.interrupts(.msix)
        let first = SharedVector(try msix.enable(vector: 0))
        kernel.beforeWait.withLock {
            $0 = {
                machine.failNextCall(.ioctl, with: .noMemory, request: .deviceSetIRQs, skipping: 1, count: 2)
                #expect(throws: VFIOError.self) { _ = try msix.enable(vector: 1) }
                let error = #expect(throws: VFIOError.self) { _ = try first.vector.poll() }
                #expect(error?.code == .interruptLost)
            }
        }
        let error = #expect(throws: VFIOError.self) { _ = try first.vector.wait(timeout: .milliseconds(200)) }
        #expect(error?.code == .interruptLost)
    }

    @Test("a lost vector is not connected to a guest")
    func lossBeforeAnIRQFD() throws {
        var release = MockRelease.linux6_1
        release.hasKVM = true
        let machine = MockMachine(release)
        machine.plug(NVMeMemoryModel(), at: "0000:00:04.0")
        let kernel = machine.kernel
        let kvm = try kernel.open("/dev/kvm", .readWrite)
        let guest = FileDescriptor(rawValue: Int32(try kernel.control(kvm, CKVM_CREATE_VM, value: 0)))
        _ = try kernel.control(guest, CKVM_CREATE_IRQCHIP, value: 0)
        let virtual = try VirtualMachine(guest, kernel: kernel)
        let device = try Device(at: "0000:00:04.0", in: AddressSpace(kernel: kernel))
        let msix = try device.interrupts(.msix)
        let first = try msix.enable(vector: 0)
        machine.failNextCall(.ioctl, with: .noMemory, request: .deviceSetIRQs, skipping: 1, count: 2)
        #expect(throws: VFIOError.self) { _ = try msix.enable(vector: 1) }
        let error = #expect(throws: VFIOError.self) { _ = try virtual.makeIRQFD(for: first, to: 5) }
        #expect(error?.code == .interruptLost)
        #expect(error?.operation == "deliver an interrupt to the guest (KVM_IRQFD)")
        try kernel.close(guest)
        try kernel.close(kvm)
    }

    @Test("vectors that are switched on again stay their owners'")
    func restoredVectors() throws {
        let machine = MockMachine(.linux6_1)
        machine.plug(NVMeMemoryModel(), at: "0000:00:04.0")
        let device = try Device(at: "0000:00:04.0", in: AddressSpace(kernel: machine.kernel))
        let msix = try device.interrupts(.msix)
        let first = try msix.enable(vector: 0)
        machine.failNextCall(.ioctl, with: .noMemory, request: .deviceSetIRQs, skipping: 1)
        #expect(throws: VFIOError.self) { _ = try msix.enable(vector: 1) }
        try first.trigger()
        #expect(try first.wait(timeout: .seconds(10)) == 1)
        try first.close()
    }
}
