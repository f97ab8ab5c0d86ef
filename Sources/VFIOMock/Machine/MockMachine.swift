internal import Glibc
internal import Synchronization
public import SystemPackage
public import VFIO

/// A machine in memory: PCI devices, an IOMMU, and a Linux kernel with VFIO on top.
///
/// Plug devices in, hand ``kernel`` to whatever takes a `Kernel`, and look at what happened.
/// ```swift
/// let machine = MockMachine()
/// machine.plug(EduModel(), at: "0000:00:02.0")
/// let space = try AddressSpace(kernel: machine.kernel)
/// …
/// #expect(machine.faults.isEmpty)
/// #expect(machine.openFiles.isEmpty)
/// ```
/// Each machine is a world of its own, so tests with one machine each can run at the same time.
public final class MockMachine: Sendable {
    // The lock is apart from what it protects, since the protected objects refer to one another and to the memory of
    // the caller, which `Mutex` cannot follow. `locked` below is the only way in.
    private nonisolated(unsafe) let machine: Machine

    /// - Parameters:
    ///   - release: What the kernel offers.
    ///   - iommu: What the IOMMU can do.
    public init(_ release: MockRelease = .iommufd, iommu: MockIOMMU = MockIOMMU()) {
        unsafe machine = Machine(release, iommu)
    }

    /// The machine's kernel, to be given to the library in place of the host's.
    public var kernel: MockKernel { MockKernel(self) }

    func locked<Result, Failure: Error>(_ body: (Machine) throws(Failure) -> Result) throws(Failure) -> Result {
        // By way of a variable, since `withLock` gives only what can be sent, and some results are addresses.
        var result: Result?
        try unsafe machine.core.lock.withLock { (_) throws(Failure) in result = try unsafe body(machine) }
        return result!
    }

    // MARK: Devices

    /// Plugs a device in.
    ///
    /// - Parameters:
    ///   - device: What the device does.
    ///   - address: Its slot, which has to be free. On bus 0 it sits on the root complex; devices that share another
    ///     bus are reset together by a hot reset.
    ///   - group: The number of its IOMMU group; without one it gets a group of its own.
    ///   - driver: The driver that is bound to it, `nil` for none. With any other than `vfio-pci`, `pci-stub` and
    ///     `pcieport` the group is not viable, as the kernel says.
    ///   - hasIOMMU: Whether the machine's IOMMU stands between the device and the memory. Without one, the device is for
    ///     a `NoIOMMUAddressSpace`: vfio-pci takes it only when the kernel has
    ///     ``MockRelease/hasUnsafeNoIOMMUMode``, and its DMA is to physical addresses.
    public func plug(
        _ device: some MockDevice, at address: PCIAddress, group: Int? = nil, driver: String? = "vfio-pci",
        hasIOMMU: Bool = true
    ) {
        locked { $0.bus.plug(device, at: address, group: group, driver: driver, hasIOMMU: hasIOMMU) }
    }

    /// Reaches into a device from outside, as a button on its front would: to look at it, to change it, to let it do
    /// DMA or raise an interrupt.
    ///
    /// ```swift
    /// machine.withDevice(EduModel.self, at: "0000:00:02.0") { edu, bus in bus.raiseMSI() }
    /// ```
    /// The closure must not call the kernel or the machine, which would wait for it to end.
    public func withDevice<Model: MockDevice, Result: Sendable, Failure: Error>(
        _ type: Model.Type, at address: PCIAddress,
        _ body: (inout Model, borrowing MockBus) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try locked { (machine) throws(Failure) -> Result in
            let function = machine.function(address)
            guard var model = function.model as? Model else {
                preconditionFailure("the device at \(address) is no \(Model.self)")
            }
            function.isBusy = true
            // Held once, so that a change to a large model does not copy it.
            function.model = AbsentDevice(pci: function.pci)
            defer {
                function.model = model
                function.isBusy = false
            }
            return try body(&model, MockBus(function))
        }
    }

    // MARK: What happened

    /// The DMA that the IOMMU refused, in order.
    ///
    /// DMA of a device without an IOMMU to a physical address where no memory is pinned for it is here as well, though
    /// nobody refuses it: on a real machine it would have hit somebody else's memory.
    public var faults: [IOMMUFault] { locked { $0.iommu.faults } }

    /// Forgets the faults up to now.
    public func clearFaults() { locked { $0.iommu.faults = [] } }

    /// The mappings of all address spaces, each in the order of their addresses.
    public var mappings: [MockMapping] { locked { $0.mappings } }

    /// How much memory is pinned for DMA, in bytes. Memory that is mapped twice counts twice.
    public var pinnedByteCount: UInt64 { locked { $0.iommu.pinnedByteCount } }

    /// The open files of the kernel, in the order of their opening: what a test finds empty when nothing leaks.
    ///
    /// A file stays open while a descriptor of it is open or on its way through a socket, while a BAR of it is mapped,
    /// and while another open file needs it.
    public var openFiles: [MockOpenFile] {
        locked { $0.core.openFiles.map(MockOpenFile.init) }
    }

    /// How many descriptors the process has for those files.
    public var descriptorCount: Int { openFiles.reduce(0) { $0 + $1.descriptorCount } }

    // MARK: Failures

    /// Makes a call fail.
    ///
    /// ```swift
    /// machine.failNextCall(.ioctl, with: .noMemory)               // the next ioctl, whatever it is
    /// machine.failNextCall(.ioctl, with: .noMemory, request: .ioasMap)   // the next mapping
    /// machine.failNextCall(.mmap, with: .permissionDenied, skipping: 2)  // the third mmap from now
    /// ```
    /// The call has no effect, except `close`, which closes the descriptor all the same, as Linux does.
    ///
    /// - Parameters:
    ///   - call: Which system call.
    ///   - errno: What it fails with.
    ///   - request: Only this `ioctl`.
    ///   - skipping: How many such calls pass first.
    ///   - count: How many fail then.
    public func failNextCall(
        _ call: MockCall, with errno: Errno, request: MockRequest? = nil, skipping: Int = 0, count: Int = 1
    ) {
        locked {
            $0.core.plans.append(
                .init(call: call, errno: errno, request: request?.rawValue, skipping: skipping, count: count))
        }
    }

    /// How many failures were asked for and have not come yet.
    public var pendingFailureCount: Int { locked { $0.core.plans.reduce(0) { $0 + $1.count } } }

    /// Takes back the failures that have not come yet.
    public func clearFailures() { locked { $0.core.plans = [] } }

    /// Whether ``calls`` is kept. Off at first.
    public var recordsCalls: Bool {
        get { locked { $0.core.isRecording } }
        set { locked { $0.core.isRecording = newValue } }
    }

    /// The calls that were made while ``recordsCalls`` was on, those that failed included.
    public var calls: [MockCallRecord] { locked { $0.core.records } }

    /// How much memory the machine has, in bytes: 4 GiB at first, as in the project's lab. A mapping of anonymous memory
    /// that is larger fails with `ENOMEM`. Several that together are larger do not, since Linux overcommits.
    public var memoryByteCount: Int {
        get { locked { $0.memory.memoryByteCount } }
        set { locked { $0.memory.memoryByteCount = newValue } }
    }

    /// How many huge pages are set aside, by their size in bytes: at first 16 of 2 MiB and none of 1 GiB, as in the
    /// project's lab. A mapping that takes more of a size than are left fails with `ENOMEM`, and one of a size that is not
    /// here with `EINVAL`.
    ///
    /// A huge page is free again once the process has unmapped it and no device can reach it.
    /// ```swift
    /// machine.hugePages = [2 << 20: 0]  // a driver that has to get by without
    /// ```
    public var hugePages: [Int: Int] {
        get { locked { $0.memory.hugePages } }
        set {
            precondition(
                newValue.allSatisfy { $0 > 4096 && $0 & ($0 - 1) == 0 && $1 >= 0 },
                "huge pages have a power of two of bytes, more than 4096")
            locked { $0.memory.hugePages = newValue }
        }
    }

    /// How much memory the process may lock, in bytes; `nil`, as at first, without a limit. Pinned memory counts.
    public var memoryLockLimit: UInt64? {
        get { locked { $0.memory.lockLimit } }
        set { locked { $0.memory.lockLimit = newValue } }
    }
}
