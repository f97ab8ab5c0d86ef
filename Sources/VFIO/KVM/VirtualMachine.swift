internal import CVFIO
internal import Synchronization
public import SystemPackage

/// A virtual machine of KVM, for what VFIO has to do with it.
///
/// Whoever runs the machine makes it (`KVM_CREATE_VM`), with its processors, its memory and its interrupt controller. This
/// takes the machine's descriptor and ties devices to it: see <doc:PassingADevice>.
///
/// ```swift
/// let machine = try VirtualMachine(descriptor)
/// let device = try Device(at: "0000:00:04.0", in: space, for: machine)
/// let bar = try device.guestBAR(.bar0, of: machine, slots: 16..<24)
/// try bar.show(at: 0xc000_0000)
/// ```
///
/// Everything that is made from it keeps it alive. KVM allows a machine one kvm-vfio device, which is this object's from the
/// first registration on: make one such object a machine. All of it is for the process that made the machine; in another one
/// KVM refuses with `EIO`.
public final class VirtualMachine: Sendable {
    let kernel: any Kernel
    /// A duplicate of the caller's, so that what was set up can be taken back whenever the caller closes its own.
    let descriptor: FileDescriptor
    /// The kvm-vfio device, once it is needed.
    private let bridge = Mutex<FileDescriptor?>(nil)

    /// - Parameters:
    ///   - descriptor: The machine's, as `KVM_CREATE_VM` gives it. It stays the caller's.
    ///   - kernel: Who answers the system calls.
    public init(_ descriptor: FileDescriptor, kernel: any Kernel = HostKernel()) throws(VFIOError) {
        self.kernel = kernel
        do throws(Errno) {
            self.descriptor = try kernel.duplicate(descriptor)
        } catch {
            throw VFIOError(
                .kernel, "duplicate the virtual machine's descriptor", "descriptor \(descriptor.rawValue)", errno: error
            )
        }
    }

    deinit {
        // What is registered holds this object, so nothing is any more.
        if let bridge = bridge.withLock({ $0 }) { try? kernel.close(bridge) }
        try? kernel.close(descriptor)
    }

    static let subject = "the virtual machine"

    // MARK: The kvm-vfio device

    /// Whether devices can be registered with machines at all (`KVM_CREATE_DEVICE`, which only asks).
    ///
    /// - Throws: `.invalidArgument` when the descriptor is no machine's.
    public func canRegisterDevices() throws(VFIOError) -> Bool {
        var request = ckvm_create_device()
        request.type = CKVM_DEV_TYPE_VFIO
        request.flags = CKVM_CREATE_DEVICE_TEST
        do throws(Errno) {
            _ = try kernel.control(descriptor, CKVM_CREATE_DEVICE, with: &request)
            return true
        } catch .operationNotSupportedByDevice {
            return false
        } catch {
            throw failure("ask for the kvm-vfio device (KVM_CREATE_DEVICE)", Self.subject, error)
        }
    }

    /// Adds a file of VFIO's to the machine.
    func add(_ file: FileDescriptor, subject: String) throws(VFIOError) {
        let operation = "register with the virtual machine (KVM_DEV_VFIO_FILE_ADD)"
        let bridge = try openBridge()
        do throws(Errno) {
            try set(CKVM_DEV_VFIO_FILE_ADD, file, of: bridge)
        } catch {
            throw switch error {
            case .fileExists:
                VFIOError(
                    .busy, operation, subject, errno: error,
                    hint: "it is registered already, by something else than this library")
            case .invalidArgument:
                VFIOError(
                    .unsupported, operation, subject, errno: error,
                    hint: "before Linux 6.6 only devices of an AddressSpace(.type1) can be registered")
            default: failure(operation, subject, error)
            }
        }
    }

    /// Takes a file out of the machine again.
    func remove(_ file: FileDescriptor, subject: String) throws(VFIOError) {
        let operation = "end the registration with the virtual machine (KVM_DEV_VFIO_FILE_DEL)"
        guard let bridge = bridge.withLock({ $0 }) else { return }
        do throws(Errno) {
            try set(CKVM_DEV_VFIO_FILE_DEL, file, of: bridge)
        } catch {
            throw failure(operation, subject, error)
        }
    }

    private func openBridge() throws(VFIOError) -> FileDescriptor {
        let operation = "make the kvm-vfio device (KVM_CREATE_DEVICE)"
        return try bridge.withLock { (bridge) throws(VFIOError) in
            if let bridge { return bridge }
            var request = ckvm_create_device()
            request.type = CKVM_DEV_TYPE_VFIO
            do throws(Errno) {
                _ = try kernel.control(descriptor, CKVM_CREATE_DEVICE, with: &request)
            } catch {
                throw switch error {
                case .resourceBusy:
                    VFIOError(
                        .busy, operation, Self.subject, errno: error,
                        hint: "the machine has one already, which is another VirtualMachine's or somebody else's")
                case .operationNotSupportedByDevice:
                    VFIOError(
                        .unsupported, operation, Self.subject, errno: error, hint: "the kernel has no CONFIG_KVM_VFIO")
                default: failure(operation, Self.subject, error)
                }
            }
            let made = FileDescriptor(rawValue: Int32(bitPattern: request.fd))
            bridge = made
            return made
        }
    }

    /// `KVM_SET_DEVICE_ATTR` of the one group that the kvm-vfio device has.
    private func set(_ attribute: UInt64, _ file: FileDescriptor, of bridge: FileDescriptor) throws(Errno) {
        let value = RequestBuffer(file.rawValue)
        var request = ckvm_device_attr()
        request.group = CKVM_DEV_VFIO_FILE
        request.attr = attribute
        request.addr = unsafe UInt64(UInt(bitPattern: value.bytes.baseAddress))
        _ = try kernel.control(bridge, CKVM_SET_DEVICE_ATTR, with: &request)
    }

    /// What KVM refuses each of its requests with.
    func failure(_ operation: String, _ subject: String, _ errno: Errno) -> VFIOError {
        switch errno {
        case .inappropriateIOCTLForDevice:
            VFIOError(
                .invalidArgument, operation, subject, errno: errno,
                hint: "the descriptor is no virtual machine's; it comes from KVM_CREATE_VM")
        case .ioError:
            VFIOError(
                .kernel, operation, subject, errno: errno,
                hint: "the machine is another process's, or is broken for good")
        default: VFIOError(.kernel, operation, subject, errno: errno)
        }
    }
}
