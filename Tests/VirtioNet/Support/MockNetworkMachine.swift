struct MockNetworkMachine: NetworkMachine {
    let machine = MockMachine()

    init(
        first: VirtioNetModel = VirtioNetModel(), second: VirtioNetModel = VirtioNetModel(macAddress: 0x5254_0000_0008)
    ) {
        machine.plug(EduModel(), at: Machines.edu)
        machine.plug(first, at: Machines.first)
        machine.plug(second, at: Machines.second)
    }

    var kernel: any Kernel { machine.kernel }

    var leftovers: [String] {
        machine.openFiles.map { "\($0)" } + machine.mappings.map { "\($0)" }
            + (machine.pinnedByteCount == 0 ? [] : ["\(machine.pinnedByteCount) bytes pinned"])
            + machine.faults.map { "\($0)" }
    }

    /// Reaches into the first card.
    func card<Result: Sendable>(_ body: (inout VirtioNetModel, borrowing MockBus) -> Result) -> Result {
        machine.withDevice(VirtioNetModel.self, at: Machines.first, body)
    }
}
