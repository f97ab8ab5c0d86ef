import VFIO

/// The output of `reset` and `hot-reset`; its fields are those of the JSON.
struct ResetReport: Encodable {
    let devices: [String]
    let done: Bool

    init(devices: [PCIAddress], done: Bool) {
        self.devices = devices.map { "\($0)" }
        self.done = done
    }

    func print(_ output: OutputOptions) throws {
        let list = devices.joined(separator: ", ")
        if output.json {
            try JSON.print(self)
        } else if done {
            Swift.print(devices.count > 1 ? "\(list): reset together" : "\(list): reset")
        } else {
            Swift.print(devices.count > 1 ? "would reset \(list) together" : "would reset \(list)")
        }
    }
}
