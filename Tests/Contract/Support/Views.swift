import VFIO

// The views of what is `~Copyable` hold on to it until the end of the scope, so that it could not be closed in there. A
// call of a method ends with the call.

extension DMABuffer {
    func bytes(at offset: Int = 0, count: Int) -> [UInt8] { memory.bytes(at: offset, count: count) }

    func fill(_ bytes: [UInt8], at offset: Int = 0) { memory.copy(bytes.span.bytes, to: offset) }
}

extension MappedRegion {
    func bytes(at offset: Int = 0, count: Int) -> [UInt8] { memory.bytes(at: offset, count: count) }

    func fill(_ bytes: [UInt8], at offset: Int = 0) { memory.copy(bytes.span.bytes, to: offset) }
}

extension Device {
    func command() throws -> PCICommand { try config.command() }

    func updateCommand(_ change: (inout PCICommand) -> Void) throws { try config.updateCommand(change) }

    func setMemoryDecode(_ isOn: Bool) throws {
        try config.updateCommand { command in
            if isOn { command.insert(.memoryDecode) } else { command.remove(.memoryDecode) }
        }
    }

    func enable(_ index: InterruptIndex, vector: Int = 0) throws -> InterruptVector {
        try interrupts(index).enable(vector: vector)
    }
}

extension Device {
    func read<Value>(_ body: (borrowing ConfigSpace) throws -> Value) throws -> Value { try body(config) }

    func write(_ body: (borrowing ConfigSpace) throws -> Void) throws { try body(config) }
}
