import ArgumentParser
import VFIO

struct VFTokenCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vf-token", abstract: "Set the token that virtual functions are opened with.",
        discussion: """
            Virtual functions of a physical function that is bound to vfio-pci can only be opened with its token. The token is kept \
            until the physical function is unbound from vfio-pci. Without a UUID a random one is generated and printed.
            """
    )

    @OptionGroup var machine: MachineOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var change: ChangeOptions
    @OptionGroup var options: DeviceOptions
    @Argument(help: ArgumentHelp("The new token.", valueName: "uuid"), transform: VFToken.parse)
    var newToken: VFToken?

    func run() throws {
        var token = newToken
        if change.dryRun {
            let function = try PCIBus(kernel: machine.kernel).function(at: options.device)
            guard function.virtualFunctionLimit != nil else {
                throw VFIOError(
                    .unsupported, "set the token of virtual functions", "\(options.device)", hint: "it has no SR-IOV")
            }
        } else {
            let new = newToken ?? Self.random()
            let device = try options.open(machine)
            try device.setVFToken(new)
            try device.close()
            token = new
        }
        let report = Report(
            address: "\(options.device)", token: token.map { "\($0)" }, done: !change.dryRun)
        if output.json {
            try JSON.print(report)
        } else if change.dryRun {
            print("would set the token of \(report.address)" + (report.token.map { " to \($0)" } ?? ", to a new one"))
        } else if let token = report.token {
            print(token)
        }
    }

    private struct Report: Encodable {
        let address: String
        let token: String?
        let done: Bool
    }

    /// A random UUID of version 4 (RFC 9562).
    private static func random() -> VFToken {
        var bytes = (0..<16).map { _ in UInt8.random(in: .min ... .max) }
        bytes[6] = bytes[6] & 0x0f | 0x40
        bytes[8] = bytes[8] & 0x3f | 0x80
        guard let token = VFToken(bytes: bytes) else { preconditionFailure("a token has 16 bytes") }
        return token
    }
}
