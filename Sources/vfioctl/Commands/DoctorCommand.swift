import ArgumentParser
import VFIO

/// `vfioctl doctor`.
struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor", abstract: "Find out why a device cannot be used, and say what to do.",
        discussion: """
            Walks the whole way from the IOMMU to the open device, and says of each step what it found and, where something is \
            missing, the command that mends it, or else what to do. Without a device it looks at the machine alone; with two, also at what the first \
            can do with the memory of the second. A device that nothing keeps from being opened is opened, and closed again: the kernel \
            resets it by that, where it can. The commands that it gives need root.

            The exit status is 0 when the device can be opened (without a device: when one could be), and 1 when not. What two devices \
            cannot do for each other does not change it.
            """
    )

    @OptionGroup var machine: MachineOptions
    @OptionGroup var output: OutputOptions
    @Option(
        help: ArgumentHelp(
            "The token that a virtual function is opened with, and a physical one that has some.",
            discussion: "Of two devices those get it that have to do with virtual functions.", valueName: "uuid"),
        transform: VFToken.parse)
    var token: VFToken?
    @Argument(help: ArgumentHelp("The device, or two.", valueName: "bdf"), transform: PCIAddress.parse)
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
