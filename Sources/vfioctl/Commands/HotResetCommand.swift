import ArgumentParser
import VFIO

/// `vfioctl hot-reset`.
struct HotResetCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hot-reset", abstract: "Reset the bus or slot that a device is on, with all devices there.",
        discussion: """
            A dry run opens the device too, since only then the kernel tells what else is reset. Every device that the reset reaches has to be bound to vfio-pci and in nobody else's hands; those in other IOMMU groups are \
            opened for it.
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
