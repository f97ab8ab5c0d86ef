internal import SystemPackage

/// Makes virtual functions of a physical one (SR-IOV), by its files in sysfs.
///
/// The physical function's driver has to take part: the kernel's own drivers mostly do, and vfio-pci does with its parameter
/// `enable_sriov`. The writes need root.
public struct VirtualFunctions: Sendable {
    private let kernel: any Kernel

    public init(kernel: any Kernel = HostKernel()) {
        self.kernel = kernel
    }

    /// What gives a physical function this many virtual ones.
    ///
    /// - Parameters:
    ///   - count: 0 takes those away that there are.
    ///   - address: The physical function.
    ///   - isProbed: Whether the kernel's drivers may take the new functions at once; without, they stay free for VFIO.
    /// - Throws: `.notFound` when there is no such device, `.unsupported` when it has no SR-IOV, `.outOfRange` when it
    ///   cannot have as many.
    public func steps(
        toMake count: Int, of address: PCIAddress, isProbed: Bool = false
    ) throws(VFIOError) -> [DriverChange.Step] {
        let function = try PCIBus(kernel: kernel).function(at: address)
        guard let limit = function.virtualFunctionLimit else {
            throw VFIOError(.unsupported, Self.operation, "\(address)", hint: "it has no SR-IOV")
        }
        guard count >= 0, count <= limit else {
            throw VFIOError(
                .outOfRange, Self.operation, "\(address)",
                hint: "it can have 0 to \(limit) virtual functions, not \(count)")
        }
        let folder = Sysfs.folder(of: .pci(address))
        var steps: [DriverChange.Step] = []
        if function.virtualFunctions.count == count { return steps }
        // From one number to another the way leads over none.
        if !function.virtualFunctions.isEmpty { steps.append(.init(path: folder.appending("sriov_numvfs"), text: "0")) }
        guard count > 0 else { return steps }
        let probing = folder.appending("sriov_drivers_autoprobe")
        let number = DriverChange.Step(path: folder.appending("sriov_numvfs"), text: "\(count)")
        // Drivers may take new functions of every device unless they are told not to; and they may again afterwards.
        return steps
            + (isProbed ? [number] : [.init(path: probing, text: "0"), number, .init(path: probing, text: "1")])
    }

    /// Carries the steps out.
    ///
    /// Virtual functions that are taken away end at once, whatever uses them, but for those that a program has open
    /// through VFIO: the write waits for that. Ask ``PCIBus/uses(of:)`` first.
    ///
    /// - Throws: `.permissionDenied` without root, `.driver` when the device's driver does not take part.
    public func apply(_ steps: [DriverChange.Step], of address: PCIAddress) throws(VFIOError) {
        for step in steps {
            do throws(Errno) {
                try kernel.writeFile(step.path, Array(step.text.utf8))
            } catch {
                // Drivers may take the functions that others make.
                if let last = steps.last, last.path != step.path {
                    try? kernel.writeFile(last.path, Array(last.text.utf8))
                }
                throw failure(error, step, address)
            }
        }
    }

    private static let operation = "make virtual functions"

    private func failure(_ error: Errno, _ step: DriverChange.Step, _ address: PCIAddress) -> VFIOError {
        let operation = "\(Self.operation) (\(step))"
        switch error {
        case .permissionDenied, .notPermitted:
            return VFIOError(
                .permissionDenied, operation, "\(address)", errno: error, hint: "only root may write there")
        case .resourceBusy:
            return VFIOError(
                .busy, operation, "\(address)", errno: error, hint: "its virtual functions are in use")
        case .noSuchFileOrDirectory:
            let driver = (try? PCIBus(kernel: kernel).function(at: address))?.driver
            return VFIOError(
                .driverRefused, operation, "\(address)", errno: error,
                hint: driver == "vfio-pci"
                    ? "vfio-pci makes virtual functions only with its parameter: "
                        + "echo 1 > /sys/module/vfio_pci/parameters/enable_sriov"
                    : "\(driver.map { "its driver \($0)" } ?? "a device without a driver") does not make virtual functions"
            )
        default:
            return VFIOError(.kernel, operation, "\(address)", errno: error)
        }
    }
}
