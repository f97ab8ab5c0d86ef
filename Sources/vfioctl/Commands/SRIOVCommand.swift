import ArgumentParser
import SystemPackage
import VFIO

struct SRIOVCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sriov", abstract: "Create or remove the virtual functions of a device with SR-IOV.",
        discussion: """
            The kernel's drivers do not bind to the new functions unless --probe is given; use `vfioctl bind`. A physical function \
            bound to vfio-pci needs the module parameter enable_sriov. Needs root.
            """
    )

    @OptionGroup var machine: MachineOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var change: ChangeOptions

    @Flag(name: .shortAndLong, help: "Remove virtual functions even if they are in use. Their users will fail.")
    var force = false
    @Flag(help: "Let the kernel's drivers bind to the new functions.")
    var probe = false
    @Argument(help: ArgumentHelp("The physical function.", valueName: "bdf"), transform: PCIAddress.parse)
    var device: PCIAddress
    @Argument(help: "The number of virtual functions; 0 for none.")
    var count: Int

    func run() throws {
        let functions = VirtualFunctions(kernel: machine.kernel)
        let steps = try functions.steps(toMake: count, of: device, isProbed: probe)
        if !force { try checkUses(steps) }
        if !change.dryRun { try functions.apply(steps, of: device) }
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

    /// Refuses to remove virtual functions that are in use, because the kernel removes them without notice.
    private func checkUses(_ steps: [DriverChange.Step]) throws {
        guard steps.contains(where: { $0.path.lastComponent == "sriov_numvfs" && $0.text == "0" }) else { return }
        let bus = PCIBus(kernel: machine.kernel)
        for function in try bus.function(at: device).virtualFunctions {
            let uses = try bus.uses(of: function)
            guard uses.isEmpty else {
                throw VFIOError(
                    .inUse, "take the virtual functions away", "\(function)",
                    hint: "\(uses.map { "\($0)" }.joined(separator: ", ")); --force takes it all the same")
            }
        }
    }

    private struct Report: Encodable {
        let address: String
        let done: Bool
        let commands: [String]
        let virtualFunctions: [String]
    }
}
