internal import SystemPackage

/// Creates virtual functions of a physical function (SR-IOV) through sysfs.
///
/// The physical function's driver must support it: most kernel drivers do, and vfio-pci does with its parameter
/// `enable_sriov`. The writes need root.
public struct VirtualFunctions: Sendable {
    private let kernel: any Kernel

    public init(kernel: any Kernel = HostKernel()) {
        self.kernel = kernel
    }

    /// Returns the steps that give a physical function this many virtual functions.
    ///
    /// - Parameters:
    ///   - count: The number; 0 removes the existing ones.
    ///   - address: The physical function.
    ///   - isProbed: Whether the kernel's drivers may bind the new functions at once; otherwise they stay free for
    ///     VFIO.
    /// - Throws: `.notFound` if there is no such device, `.unsupported` if it has no SR-IOV, `.outOfRange` if it cannot
    ///   have as many.
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
        // The number can only be changed from or to 0.
        if !function.virtualFunctions.isEmpty { steps.append(.init(path: folder.appending("sriov_numvfs"), text: "0")) }
        guard count > 0 else { return steps }
        let number = DriverChange.Step(path: folder.appending("sriov_numvfs"), text: "\(count)")
        // The setting is the administrator's, so it is restored afterwards.
        let (before, wanted) = (try isProbing(address), isProbed)
        guard before != wanted else { return steps + [number] }
        let probing = folder.appending(Self.probing)
        return steps + [
            .init(path: probing, text: wanted ? "1" : "0"), number,
            .init(path: probing, text: before ? "1" : "0"),
        ]
    }

    private static let probing = "sriov_drivers_autoprobe"

    /// Whether the kernel's drivers may bind new functions now.
    private func isProbing(_ address: PCIAddress) throws(VFIOError) -> Bool {
        do throws(Errno) {
            return try kernel.readFile(Sysfs.folder(of: .pci(address)).appending(Self.probing)).first
                != UInt8(ascii: "0")
        } catch .noSuchFileOrDirectory {
            // Before Linux 4.12 they always may.
            return true
        } catch {
            throw VFIOError(refused: error, Self.operation, "\(address)")
        }
    }

    /// Applies the steps.
    ///
    /// Virtual functions that are removed disappear at once, even if they are in use, except for those that a program
    /// has open through VFIO: the write waits until it closes them. Call ``PCIBus/uses(of:)`` first.
    ///
    /// If the new number is refused after the old functions were removed, as many as before are made again. They are new
    /// ones: what they were bound to is lost. The error says so.
    ///
    /// - Throws: `.permissionDenied` without root, `.driverRefused` if the device's driver does not support it, `.noSpace`
    ///   if there is no room for as many.
    public func apply(_ steps: [DriverChange.Step], of address: PCIAddress) throws(VFIOError) {
        let before = (try? PCIBus(kernel: kernel).function(at: address))?.virtualFunctions.count ?? 0
        var lost: DriverChange.Step?
        for step in steps {
            do throws(Errno) {
                try kernel.writeFile(step.path, Array(step.text.utf8))
                if step.path.lastComponent == "sriov_numvfs" {
                    lost = step.text == "0" && before > 0 ? .init(path: step.path, text: "\(before)") : nil
                }
            } catch {
                let again = step == steps.first ? nil : lost.map(makeAgain)
                // Restore automatic probing even after a failure.
                if let last = steps.last, last.path != step.path {
                    try? kernel.writeFile(last.path, Array(last.text.utf8))
                }
                let failure = failure(error, step, address)
                guard let again else { throw failure }
                throw VFIOError(
                    failure.code, failure.operation, failure.subject, errno: error,
                    hint: [failure.hint, again].compactMap { $0 }.joined(separator: "; "))
            }
        }
    }

    /// Makes the functions that were removed for nothing, and returns what came of it.
    private func makeAgain(_ step: DriverChange.Step) -> String {
        do throws(Errno) {
            try kernel.writeFile(step.path, Array(step.text.utf8))
            return
                "the \(step.text) that it had were removed, and have been made again, without what they were bound to"
        } catch {
            return "the \(step.text) that it had were removed, and could not be made again (\(error))"
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
        case .noSuchFileOrDirectory where step.path.lastComponent?.string == Self.probing:
            return VFIOError(
                .unsupported, operation, "\(address)", errno: error,
                hint:
                    "before Linux 4.12 the kernel's drivers take new virtual functions at once, which can be asked for "
                    + "(vfioctl sriov --probe)")
        case .noMemory:
            return VFIOError(
                .noSpace, operation, "\(address)", errno: error,
                hint:
                    "as a rule the firmware has left no room for the functions' BARs, or for their bus numbers; the "
                    + "kernel's log says which (dmesg), and settings of the firmware (SR-IOV, decoding above 4 GiB) or the "
                    + "kernel parameters pci=realloc and pci=assign-busses may help")
        case .noSpace:
            return VFIOError(
                .noSpace, operation, "\(address)", errno: error,
                hint:
                    "the device or its driver has no room for as many; the kernel's log may say more (dmesg), and fewer "
                    + "may do")
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
