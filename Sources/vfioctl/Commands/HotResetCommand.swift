import ArgumentParser
import VFIO

struct HotResetCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hot-reset", abstract: "Reset the bus or slot of a device, with all devices on it.",
        discussion: """
            All affected devices must be bound to vfio-pci and not be open in another process; those in other IOMMU groups are opened \
            for the reset. A dry run also opens the device, because the kernel lists the affected devices only then.
            """
    )

    @OptionGroup var machine: MachineOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var change: ChangeOptions
    @OptionGroup var options: DeviceOptions

    func run() throws {
        let device = try options.open(machine)
        let functions = try device.hotResetInfo().functions.map(\.address)
        if !change.dryRun {
            let others = functions.filter { .pci($0) != device.address }
            try reset(device, holding: others[...])
        }
        try device.close()
        try ResetReport(devices: functions, done: !change.dryRun).print(output)
    }

    /// Opens the other devices recursively, and resets once all of them are open.
    private func reset(_ device: borrowing Device, holding others: ArraySlice<PCIAddress>) throws(VFIOError) {
        guard let next = others.first else {
            try device.hotReset()
            return
        }
        // Devices without a driver, such as bridges, and functions of an already open group need not be opened.
        guard try PCIBus(kernel: machine.kernel).function(at: next).isBoundToVFIO else {
            try reset(device, holding: others.dropFirst())
            return
        }
        let other = try Device(at: next, in: device.space)
        try reset(device, holding: others.dropFirst())
        try other.close()
    }
}
