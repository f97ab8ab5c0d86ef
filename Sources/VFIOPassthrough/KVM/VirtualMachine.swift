internal import Synchronization
public import SystemPackage
public import VFIO

/// A KVM virtual machine, for its connections to VFIO devices.
///
/// The monitor creates the machine (`KVM_CREATE_VM`), with its processors, memory and interrupt controller. This type
/// takes the machine's descriptor and connects devices to it: see <doc:PassingADevice>.
///
/// ```swift
/// let machine = try VirtualMachine(descriptor)
/// let device = try Device(at: "0000:00:04.0", in: space, for: machine)
/// let bar = try device.makeGuestBAR(.bar0, of: machine, slots: 16..<24)
/// try bar.map(at: 0xc000_0000)
/// ```
///
/// Everything made from it keeps it open. KVM permits one kvm-vfio device per machine, which this object owns from the
/// first registration on: create one such object per machine. It works only in the process that created the machine; in
/// another one KVM returns `EIO`.
public final class VirtualMachine: Sendable, ControlledFile, FileRegistrar {
    package let kernel: any Kernel
    /// A duplicate of the caller's, so that connections can be removed after the caller has closed its own.
    package let descriptor: FileDescriptor
    /// The kvm-vfio device, created when it is needed.
    private let bridge = Mutex<FileDescriptor?>(nil)

    /// - Parameters:
    ///   - descriptor: The machine's, from `KVM_CREATE_VM`. The caller still owns it.
    ///   - kernel: The kernel that makes the system calls.
    public init(_ descriptor: FileDescriptor, kernel: any Kernel = HostKernel()) throws(VFIOError) {
        self.kernel = kernel
        self.descriptor = try attempt(
            "duplicate the virtual machine's descriptor", "descriptor \(descriptor.rawValue)",
            kernel.duplicate(descriptor))
    }

    deinit {
        // Registrations hold this object, so none is left.
        if let bridge = bridge.withLock({ $0 }) { try? kernel.close(bridge) }
        try? kernel.close(descriptor)
    }

    static let subject = "the virtual machine"

    // MARK: The kvm-vfio device

    /// Returns whether devices can be registered with machines; only probes.
    /// The corresponding request is `KVM_CREATE_DEVICE`.
    ///
    /// - Throws: `.invalidArgument` if the descriptor is not a virtual machine's.
    public func canRegisterDevices() throws(VFIOError) -> Bool {
        let request = ABI.makeVFIODevice(onlyAsking: true)
        do throws(VFIOError) {
            _ = try request.perform(on: self, "ask for the kvm-vfio device", Self.subject)
            return true
        } catch {
            guard error.errno == .operationNotSupportedByDevice else { throw error }
            return false
        }
    }

    /// Adds a VFIO file to the machine.
    package func add(_ file: FileDescriptor, subject: String) throws(VFIOError) {
        try ABI.addVFIOFile(file).perform(
            on: try openBridge(), "register with the virtual machine", subject,
            refusals: [
                .fileExists: (.busy, "it is registered already, by something else than this library"),
                .invalidArgument: (
                    .unsupported, "before Linux 6.6 only devices of an AddressSpace(.type1) can be registered"
                ),
            ])
    }

    /// Removes a file from the machine.
    package func remove(_ file: FileDescriptor, subject: String) throws(VFIOError) {
        guard let bridge = bridge.withLock({ $0 }) else { return }
        try ABI.removeVFIOFile(file).perform(
            on: BorrowedDescriptor(bridge, of: kernel), "end the registration with the virtual machine", subject)
    }

    private func openBridge() throws(VFIOError) -> BorrowedDescriptor {
        try bridge.withLock { (bridge) throws(VFIOError) in
            let made =
                if let bridge {
                    bridge
                } else {
                    try ABI.makeVFIODevice().perform(
                        on: self, "make the kvm-vfio device", Self.subject,
                        refusals: [
                            .resourceBusy: (
                                .busy,
                                "the machine has one already, which is another VirtualMachine's or somebody else's"
                            ),
                            .operationNotSupportedByDevice: (.unsupported, "the kernel has no CONFIG_KVM_VFIO"),
                        ])
                }
            bridge = made
            return BorrowedDescriptor(made, of: kernel)
        }
    }
}
