import ArgumentParser
import VFIO

/// `vfioctl vfs`.
struct VFsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vfs",
        abstract: "Make the virtual functions of a device with SR-IOV, or take them away.",
        discussion: """
            The kernel's drivers do not get the new functions unless --probe is given: bind them with `vfioctl bind`. A physical \
            function that vfio-pci holds needs the module's parameter enable_sriov. Needs root.
            """
    )

    @OptionGroup var machine: MachineOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var change: ChangeOptions

    @Flag(help: "Let the kernel's drivers take the new functions.")
    var probe = false
    @Argument(help: ArgumentHelp("The physical function.", valueName: "bdf"), transform: PCIAddress.parse)
    var device: PCIAddress
    @Argument(help: "How many virtual functions it is to have; 0 for none.")
    var count: Int

    func run() throws {
        let functions = VirtualFunctions(kernel: machine.kernel)
        let steps = try functions.steps(toMake: count, of: device, isProbed: probe)
        if !change.dryRun { try functions.carryOut(steps, of: device) }
        let report = Report(
            address: "\(device)", done: !change.dryRun, commands: steps.map { "\($0)" },
            virtualFunctions: try PCIBus(kernel: machine.kernel).function(at: device).virtualFunctions.map { "\($0)" })
        if output.json {
            try JSON.print(report)
        } else if change.dryRun {
            for command in report.commands { print(command) }
        } else if report.virtualFunctions.isEmpty {
            print("\(device) has no virtual functions")
        } else {
            for function in report.virtualFunctions { print(function) }
        }
    }

    private struct Report: Encodable {
        let address: String
        let done: Bool
        let commands: [String]
        let virtualFunctions: [String]
    }
}
