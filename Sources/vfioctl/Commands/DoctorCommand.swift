import ArgumentParser
import VFIO

/// `vfioctl doctor`.
struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor", abstract: "Find out why a device cannot be used, and print the remedy.",
        discussion: """
            Checks everything from the IOMMU to the open device. For each problem it prints the command that fixes it, or an advice. \
            Without a device it checks the machine only; with two, also whether the first can access the memory of the second. If no \
            check fails, it opens and closes the device, and the kernel resets the device if it can. The printed commands need root.

            The exit status is 0 if the device can be opened (without a device: if one could be), and 1 if not. The check of access \
            between two devices does not change it.
            """
    )

    @OptionGroup var machine: MachineOptions
    @OptionGroup var output: OutputOptions
    @Option(
        help: ArgumentHelp(
            "The VF token, for a virtual function or a physical function that has some.",
            discussion: "Of two devices, it is used for those with SR-IOV and for virtual functions.", valueName: "uuid"
        ),
        transform: VFToken.parse)
    var token: VFToken?
    @Argument(help: ArgumentHelp("One or two devices.", valueName: "bdf"), transform: PCIAddress.parse)
    var devices: [PCIAddress] = []

    func validate() throws {
        guard devices.count <= 2, Set(devices).count == devices.count else {
            throw ValidationError("give no device, one, or two different ones")
        }
    }

    func run() throws {
        let kernel = machine.kernel
        var sections = [Section(title: "This machine", findings: MachineDoctor(kernel).findings())]
        let isMachineFine = !sections[0].hasProblem
        let tokens = tokens(kernel)
        for device in devices {
            let doctor = DeviceDoctor(kernel: kernel, address: device, token: tokens[device])
            let findings = doctor.findings(isMachineFine: isMachineFine)
            sections.append(Section(title: "\(device)", findings: findings))
        }
        if devices.count == 2 && !sections.contains(where: \.hasProblem) {
            let doctor = PeerDoctor(kernel: kernel, reader: devices[0], owner: devices[1], tokens: tokens)
            sections.append(
                Section(title: "\(devices[0]) and the memory of \(devices[1])", findings: doctor.findings()))
        }
        if output.json { try JSON.print(sections) } else { show(sections) }
        if sections.contains(where: \.hasProblem) { throw ExitCode.failure }
    }

    /// The devices that are opened with the token. A single device always gets it, so that the kernel can report that
    /// it accepts none.
    private func tokens(_ kernel: any Kernel) -> [PCIAddress: VFToken] {
        guard let token else { return [:] }
        let takers = devices.filter { device in
            guard devices.count > 1, let function = try? PCIBus(kernel: kernel).function(at: device) else {
                return true
            }
            return function.physicalFunction != nil || function.virtualFunctionLimit != nil
        }
        return Dictionary(uniqueKeysWithValues: takers.map { ($0, token) })
    }

    private func show(_ sections: [Section]) {
        for section in sections {
            print(output.style.paint(section.title, .bold))
            for finding in section.findings { for line in finding.lines(output.style) { print("  \(line)") } }
            print("")
        }
        if let problem = sections.lazy.flatMap(\.findings).first(where: { $0.verdict == .problem }) {
            print("Next: \(problem.next)")
        } else if devices.isEmpty {
            print("Nothing is wrong with this machine. vfioctl doctor BDF looks at a device.")
        } else {
            print("Nothing is wrong: the device can be opened.")
        }
    }

    private struct Section: Encodable {
        let title: String
        let findings: [Finding]

        var hasProblem: Bool { findings.contains { $0.verdict == .problem } }
    }
}
