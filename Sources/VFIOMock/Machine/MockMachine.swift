internal import Glibc
internal import Synchronization
public import SystemPackage
public import VFIO

/// A machine in memory: PCI devices, an IOMMU, and a Linux kernel with VFIO.
///
/// Plug devices in, pass ``kernel`` where a `Kernel` is expected, and inspect the machine.
/// ```swift
/// let machine = MockMachine()
/// machine.plug(EduModel(), at: "0000:00:02.0")
/// let space = try AddressSpace(kernel: machine.kernel)
/// …
/// #expect(machine.faults.isEmpty)
/// #expect(machine.openFiles.isEmpty)
/// ```
/// Machines are independent, so tests with one machine each can run in parallel.
public final class MockMachine: Sendable {
    // The lock is separate from the objects it protects: they refer to one another and to the caller's memory, which
    // `Mutex` does not support. `locked` is the only access.
    private nonisolated(unsafe) let machine: Machine

    /// - Parameters:
    ///   - release: The kernel's release and configuration.
    ///   - iommu: The IOMMU's configuration.
    public init(_ release: MockRelease = .iommufd, iommu: MockIOMMU = MockIOMMU()) {
        unsafe machine = Machine(release, iommu)
    }

    /// The machine's kernel, for the library in place of the host's.
    public var kernel: MockKernel { MockKernel(self) }

    func locked<Result, Failure: Error>(_ body: (Machine) throws(Failure) -> Result) throws(Failure) -> Result {
        // `withLock` returns only sendable results, and some results are addresses.
        var result: Result?
        try unsafe machine.core.lock.withLock { (_) throws(Failure) in result = try unsafe body(machine) }
        return result!
    }

    // MARK: Devices

    /// Plugs a device in.
    ///
    /// - Parameters:
    ///   - device: The model of the device.
    ///   - address: Its address, which must be free. On bus 0 it is on the root complex; devices that share another bus
    /// are reset together by a hot reset.
    ///   - group: The number of its IOMMU group; `nil` for a group of its own.
    ///   - driver: The driver bound to it; `nil` for none. With one other than `vfio-pci`, `pci-stub` and `pcieport`
    /// the group is not viable.
    ///   - hasIOMMU: Whether the IOMMU translates its DMA. A device without one is for a `NoIOMMUAddressSpace`:
    /// vfio-pci binds it only with ``MockRelease/hasUnsafeNoIOMMUMode``, and its DMA uses physical addresses.
    public func plug(
        _ device: some MockDevice, at address: PCIAddress, group: Int? = nil, driver: String? = "vfio-pci",
        hasIOMMU: Bool = true
    ) {
        locked { $0.bus.plug(device, at: address, group: group, driver: driver, hasIOMMU: hasIOMMU) }
    }

    /// Lets a device stop answering, as one that has lost its power or its link, or answer again.
    ///
    /// Its registers then read as all ones, but for what vfio-pci shows from a copy; an access to its mapped BARs is
    /// `SIGBUS`; and it does no DMA. The kernel does not notice.
    public func setAnswering(_ isAnswering: Bool, at address: PCIAddress) {
        locked { $0.function(address).setAnswering(isAnswering) }
    }

    /// Unplugs a device, as the administrator of a host does (QEMU's `device_del`).
    ///
    /// A program that has it open is asked for it (`InterruptIndex.request`), and once more when it begins to listen or
    /// when this is called after 10 seconds; a kernel asks every 10 seconds. The device is there until its last file is
    /// closed, and then leaves with its virtual functions. For one that is torn out, call ``setAnswering(_:at:)`` before.
    ///
    /// - Returns: Whether it has left already.
    @discardableResult
    public func unplug(_ address: PCIAddress) -> Bool {
        locked { $0.bus.unplug($0.function(address)) }
    }

    /// Calls a closure with a device's model and bus: to inspect or change it, or for DMA or an interrupt of its own.
    ///
    /// ```swift
    /// machine.withDevice(EduModel.self, at: "0000:00:02.0") { edu, bus in bus.raiseMSI() }
    /// ```
    /// The closure must not call the kernel or the machine: that deadlocks.
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
            // Referenced only once, so that a change does not copy a large model.
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
    /// It includes DMA of a device without an IOMMU to a physical address where no memory is pinned for it, which a
    /// real machine would not refuse.
    public var faults: [IOMMUFault] { locked { $0.iommu.faults } }

    /// Clears the faults.
    public func clearFaults() { locked { $0.iommu.faults = [] } }

    /// The mappings of all address spaces, each in address order.
    public var mappings: [MockMapping] { locked { $0.mappings } }

    /// The memory pinned for DMA in bytes. Memory that is mapped twice counts twice.
    public var pinnedByteCount: UInt64 { locked { $0.iommu.pinnedByteCount } }

    /// The kernel's open files in the order of their opening. It is empty when nothing leaks.
    ///
    /// A file is open while there is a descriptor of it, also in transit through a socket, while a BAR of it is mapped,
    /// and while another open file holds it.
    public var openFiles: [MockOpenFile] {
        locked { $0.core.openFiles.map(MockOpenFile.init) }
    }

    /// The number of descriptors of those files.
    public var descriptorCount: Int { openFiles.reduce(0) { $0 + $1.descriptorCount } }

    // MARK: Failures

    /// Plans a failure of a call.
    ///
    /// ```swift
    /// machine.failNextCall(.ioctl, with: .noMemory)               // the next ioctl, whatever it is
    /// machine.failNextCall(.ioctl, with: .noMemory, request: .ioasMap)   // the next mapping
    /// machine.failNextCall(.mmap, with: .permissionDenied, skipping: 2)  // the third mmap from now
    /// ```
    /// The call has no effect, except `close`, which closes the descriptor anyway, as on Linux.
    ///
    /// - Parameters:
    ///   - call: The system call.
    ///   - errno: Its error.
    ///   - request: Only this `ioctl`.
    ///   - skipping: The number of such calls that pass first.
    ///   - count: The number of calls that then fail.
    public func failNextCall(
        _ call: MockCall, with errno: Errno, request: MockRequest? = nil, skipping: Int = 0, count: Int = 1
    ) {
        locked {
            $0.core.plans.append(
                .init(call: call, errno: errno, request: request?.rawValue, skipping: skipping, count: count))
        }
    }

    /// The number of planned failures that have not happened.
    public var pendingFailureCount: Int { locked { $0.core.plans.reduce(0) { $0 + $1.count } } }

    /// Removes the planned failures.
    public func clearFailures() { locked { $0.core.plans = [] } }

    /// Whether calls are recorded in ``calls``. `false` at first.
    public var recordsCalls: Bool {
        get { locked { $0.core.isRecording } }
        set { locked { $0.core.isRecording = newValue } }
    }

    /// The calls made while ``recordsCalls`` was `true`, including failed ones.
    public var calls: [MockCallRecord] { locked { $0.core.records } }

    /// The memory of the machine in bytes, 4 GiB at first. A larger mapping of anonymous memory fails with `ENOMEM`.
    /// Several that exceed it together do not, since Linux overcommits.
    public var memoryByteCount: Int {
        get { locked { $0.memory.memoryByteCount } }
        set { locked { $0.memory.memoryByteCount = newValue } }
    }

    /// The numbers of huge pages by their size in bytes: at first 16 of 2 MiB and none of 1 GiB. A mapping of more
    /// pages than are free fails with `ENOMEM`, and one of another size with `EINVAL`.
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

    /// The limit on locked memory in bytes, `nil` for none, as at first. Pinned memory counts.
    public var memoryLockLimit: UInt64? {
        get { locked { $0.memory.lockLimit } }
        set { locked { $0.memory.lockLimit = newValue } }
    }
}
