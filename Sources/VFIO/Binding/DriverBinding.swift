internal import SystemPackage

/// Binds devices to drivers: to `vfio-pci`, and back.
///
/// ```swift
/// let binding = DriverBinding()
/// let change = try binding.planChange(of: "0000:00:04.0", to: "vfio-pci")
/// try binding.apply(change)
/// …
/// try binding.apply(binding.planChangeToAnyDriver(of: "0000:00:04.0"))
/// ```
/// A device is bound by its `driver_override`, never by `new_id`, which would apply to every device with the same IDs.
/// The writes need root. Call ``PCIBus/uses(of:)`` first to find out whether the device is in use.
public struct DriverBinding: Sendable {
    private let kernel: any Kernel
    private var bus: PCIBus { PCIBus(kernel: kernel) }

    public init(kernel: any Kernel = HostKernel()) {
        self.kernel = kernel
    }

    // MARK: Planning

    /// Returns the change that binds a device to a driver.
    ///
    /// - Parameters:
    ///   - address: The device.
    ///   - driver: Its driver afterwards; `nil` for none, until the kernel matches drivers again, as when one is
    ///     loaded.
    /// - Throws: `.notFound` if there is no such device, `.invalidArgument` for a port or a bridge, and for an invalid
    ///   driver name.
    public func planChange(of address: PCIAddress, to driver: String?) throws(VFIOError) -> DriverChange {
        if let driver,
            ["", ".", ".."].contains(driver)
                || driver.contains(where: { $0 == "/" || $0 == "\0" || $0.isNewline })
        {
            throw VFIOError(
                .invalidArgument, "change the driver of the device", "\(address)",
                hint: "\"\(driver)\" is no name of a driver")
        }
        let function = try functionToChange(address)
        var steps: [DriverChange.Step] = []
        if let driver {
            // Before the device is unbound, so that no other driver binds it in between.
            if function.driverOverride != driver {
                steps.append(overriding(address, by: driver))
            }
            if function.driver != driver {
                steps += unbinding(function)
                steps.append(probing(address))
            }
        } else {
            if function.driverOverride != nil { steps.append(overriding(address, by: nil)) }
            steps += unbinding(function)
        }
        return DriverChange(
            address: address, previousDriver: function.driver, previousOverride: function.driverOverride,
            driver: driver,
            takesAnyDriver: false, steps: steps)
    }

    /// Returns the change that binds a device to the driver that the kernel chooses, if any.
    ///
    /// - Throws: As ``planChange(of:to:)``.
    public func planChangeToAnyDriver(of address: PCIAddress) throws(VFIOError) -> DriverChange {
        let function = try functionToChange(address)
        var steps: [DriverChange.Step] = []
        if function.driverOverride != nil { steps.append(overriding(address, by: nil)) }
        if function.driver == nil || function.driver == function.driverOverride || function.isBoundToVFIO {
            steps += unbinding(function)
            steps.append(probing(address))
        }
        return DriverChange(
            address: address, previousDriver: function.driver, previousOverride: function.driverOverride, driver: nil,
            takesAnyDriver: true, steps: steps)
    }

    /// Returns the change that gives a device a driver and an override that it had before.
    ///
    /// - Parameters:
    ///   - address: The device.
    ///   - driver: Its driver afterwards; `nil` for none.
    ///   - override: Its `driver_override` afterwards, which may name another driver; `nil` for none.
    /// - Throws: As ``planChange(of:to:)``.
    public func planChange(
        of address: PCIAddress, backTo driver: String?, override: String?
    ) throws(VFIOError) -> DriverChange {
        let change = try planChange(of: address, to: driver)
        // A device that has the driver needs no override for it.
        var steps = change.previousDriver == driver ? [] : change.steps
        // The override that is there after those steps.
        let last = steps.last { $0.path.lastComponent == "driver_override" }
        let current = last.map { $0.text.isEmpty ? nil : $0.text } ?? change.previousOverride
        if current != override {
            if driver == nil {
                // Before the device is unbound, so that the change ends without a driver.
                steps.removeAll { $0.path.lastComponent == "driver_override" }
                if change.previousOverride != override { steps.insert(overriding(address, by: override), at: 0) }
            } else {
                steps.append(overriding(address, by: override))
            }
        }
        return DriverChange(
            address: address, previousDriver: change.previousDriver, previousOverride: change.previousOverride,
            driver: driver, takesAnyDriver: false, steps: steps)
    }

    private func functionToChange(_ address: PCIAddress) throws(VFIOError) -> PCIFunctionInfo {
        let function = try bus.function(at: address)
        guard !function.isPort else {
            throw VFIOError(
                .invalidArgument, "change the driver of the device", "\(address)",
                hint: "it is a bridge; it can stay with its driver, which does not keep a group from being viable")
        }
        return function
    }

    private func overriding(_ address: PCIAddress, by driver: String?) -> DriverChange.Step {
        .init(path: Sysfs.folder(of: .pci(address)).appending("driver_override"), text: driver ?? "")
    }

    private func probing(_ address: PCIAddress) -> DriverChange.Step {
        .init(path: "/sys/bus/pci/drivers_probe", text: "\(address)")
    }

    private func unbinding(_ function: PCIFunctionInfo) -> [DriverChange.Step] {
        guard function.driver != nil else { return [] }
        let path = Sysfs.folder(of: .pci(function.address)).appending("driver").appending("unbind")
        return [.init(path: path, text: "\(function.address)")]
    }

    // MARK: Applying

    /// Applies a change, and checks that it took effect.
    ///
    /// If a step fails, the override is restored and the kernel may choose a driver again, so that the device is not
    /// left without one.
    ///
    /// - Throws: `.permissionDenied` without root, `.driverRefused` if the kernel has no such driver or it does not
    ///   bind the device, `.busy` if a process has the group open.
    public func apply(_ change: DriverChange) throws(VFIOError) {
        // Before the device is unbound from the old driver.
        if let wanted = change.driver, !change.steps.isEmpty, !isLoaded(wanted) { throw notLoaded(wanted, change) }
        do throws(VFIOError) {
            for step in change.steps { try write(step, change) }
            try check(change)
        } catch {
            takeBack(change)
            throw error
        }
    }

    /// Restores the previous state as far as possible, without errors: the caller reports the original one.
    private func takeBack(_ change: DriverChange) {
        guard let now = try? bus.function(at: change.address) else { return }
        if now.driverOverride != change.previousOverride {
            try? write(overriding(change.address, by: change.previousOverride), change)
        }
        guard now.driver == nil, let previous = change.previousDriver else { return }
        // The kernel's choice may differ from the previous driver.
        try? kernel.writeFile(FilePath("/sys/bus/pci/drivers/\(previous)/bind"), Array("\(change.address)".utf8))
        if (try? bus.function(at: change.address))?.driver == nil { try? write(probing(change.address), change) }
    }

    private func write(_ step: DriverChange.Step, _ change: DriverChange) throws(VFIOError) {
        // An empty write has no effect; a newline alone clears the attribute.
        let bytes = Array((step.text.isEmpty ? "\n" : step.text).utf8)
        do throws(Errno) {
            try kernel.writeFile(step.path, bytes)
        } catch {
            throw failure(error, step, change)
        }
    }

    private func failure(_ error: Errno, _ step: DriverChange.Step, _ change: DriverChange) -> VFIOError {
        let operation = "change the driver of the device (\(step))"
        let subject = "\(change.address)"
        switch error {
        case .permissionDenied, .notPermitted:
            return VFIOError(.permissionDenied, operation, subject, errno: error, hint: "only root may write there")
        case .resourceBusy:
            return VFIOError(
                .busy, operation, subject, errno: error,
                hint: "a process has a device of its IOMMU group open; end it first")
        case .noSuchFileOrDirectory:
            return VFIOError(.notFound, operation, subject, errno: error, hint: "the device or its driver has gone")
        default:
            return VFIOError(.kernel, operation, subject, errno: error, hint: "the kernel's log may say why: dmesg")
        }
    }

    private func check(_ change: DriverChange) throws(VFIOError) {
        guard !change.takesAnyDriver else { return }
        let now = try bus.function(at: change.address)
        guard now.driver != change.driver else { return }
        let operation = "change the driver of the device"
        guard let wanted = change.driver else {
            throw VFIOError(
                .driverRefused, operation, "\(change.address)", hint: "\(now.driver ?? "no driver") still holds it")
        }
        throw VFIOError(
            .driverRefused, operation, "\(change.address)",
            hint: "the driver \(wanted) did not take it; the kernel's log may say why: dmesg")
    }

    private func isLoaded(_ driver: String) -> Bool {
        (try? kernel.names(in: FilePath("/sys/bus/pci/drivers/\(driver)"))) != nil
    }

    private static func loading(_ driver: String, _ modules: KernelModules) -> String {
        switch modules.state(of: driver) {
        case .loadable: "load it: modprobe \(driver)"
        case .builtIn: "it is built in, so its log may say why: dmesg"
        case .missing: "/lib/modules has no module of this name for it"
        }
    }

    private func notLoaded(_ driver: String, _ change: DriverChange) -> VFIOError {
        VFIOError(
            .driverRefused, "change the driver of the device", "\(change.address)",
            hint: "the kernel has no driver \(driver) loaded; \(Self.loading(driver, KernelModules(kernel: kernel)))")
    }
}
