// Short names for what tests do on every other line.

extension VolatileMemory where Self: ~Copyable {
    func fill(_ bytes: [UInt8], at offset: Int = 0) { copy(bytes.span, to: offset) }
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

    func enable(_ index: InterruptIndex, vectors: some Sequence<Int>) throws -> InterruptVectors {
        try interrupts(index).enable(vectors: vectors)
    }
}

extension Device {
    func read<Value>(_ body: (borrowing ConfigSpace) throws -> Value) throws -> Value { try body(config) }

    func write(_ body: (borrowing ConfigSpace) throws -> Void) throws { try body(config) }
}

extension InterruptVector {
    /// Raises it from here, and expects to see that once.
    func expectTrigger(sourceLocation: SourceLocation = #_sourceLocation) throws {
        try trigger()
        let count = try poll()
        #expect(count == 1, sourceLocation: sourceLocation)
    }
}
