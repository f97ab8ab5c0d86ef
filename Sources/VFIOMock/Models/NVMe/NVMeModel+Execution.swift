import VFIO

extension NVMeModel {
    /// Opcodes of section 6.
    enum Opcode {
        static let flush: UInt8 = 0x00
        static let write: UInt8 = 0x01
        static let read: UInt8 = 0x02
        static let writeZeroes: UInt8 = 0x08
    }

    /// Takes a command from a submission queue and executes it, or lets a planned fault happen.
    mutating func take(_ command: Command, _ queue: Int, _ bus: borrowing MockBus) {
        statistics.count(command.opcode, isAdmin: queue == 0)
        if !faults.isEmpty, let fault = takeFault(.command(command, queue: queue)) {
            return suffer(fault, command, queue, bus)
        }
        if let completion = execute(command, queue, bus) { complete(completion, bus) }
    }

    /// Executes a command and returns its completion; `nil` if it completes later.
    mutating func execute(_ command: Command, _ queue: Int, _ bus: borrowing MockBus) -> Completion? {
        var completion = Completion(submissionQueue: queue, identifier: command.identifier)
        do throws(Status) {
            guard command.flags == 0 else { throw .invalidField }
            if queue == 0 {
                guard let result = try executeAdmin(command, bus) else { return nil }
                completion.result = result
            } else {
                try executeNVM(command, bus)
            }
        } catch {
            completion.status = error
        }
        return completion
    }

    // MARK: NVM commands

    private mutating func executeNVM(_ command: Command, _ bus: borrowing MockBus) throws(Status) {
        if registers.hasAdminCommandsOnly { throw .invalidOpcode }
        switch command.opcode {
        case Opcode.flush:
            if command.namespace != .max { try checkNamespace(command) }
        case Opcode.read:
            let byteCount = try checkTransfer(command)
            try mapData(command, byteCount, bus)
            unsafe try withBuffer(byteCount) { (model, buffer) throws(Status) in
                unsafe model.disk.read(at: command.firstBlock, into: buffer)
                unsafe try model.send(buffer, bus)
            }
            statistics.readByteCount += UInt64(byteCount)
        case Opcode.write:
            let byteCount = try checkTransfer(command)
            try mapData(command, byteCount, bus)
            unsafe try withBuffer(byteCount) { (model, buffer) throws(Status) in
                unsafe try model.receive(buffer, bus)
                unsafe model.disk.write(at: command.firstBlock, from: UnsafeRawBufferPointer(buffer))
            }
            statistics.writtenByteCount += UInt64(byteCount)
        case Opcode.writeZeroes:
            try checkRange(command)
            disk.zero(at: command.firstBlock, count: command.blockCount)
        default: throw .invalidOpcode
        }
    }

    /// Of 256 possible namespaces one is active.
    private func checkNamespace(_ command: Command) throws(Status) {
        if command.namespace == 1 { return }
        let isValid = (2...Self.namespaceLimit).contains(command.namespace) || command.namespace == .max
        throw isValid ? .invalidField : .invalidNamespace
    }

    private func checkRange(_ command: Command) throws(Status) {
        try checkNamespace(command)
        guard disk.contains(command.firstBlock, command.blockCount) else { throw .blockOutOfRange }
    }

    private func checkTransfer(_ command: Command) throws(Status) -> Int {
        try checkNamespace(command)
        let byteCount = Int(command.blockCount) * disk.blockByteCount
        guard byteCount <= 4096 << Self.transferShiftLimit else { throw .invalidField }
        guard disk.contains(command.firstBlock, command.blockCount) else { throw .blockOutOfRange }
        return byteCount
    }

    /// Allocates memory for the data of a command.
    private mutating func withBuffer(
        _ byteCount: Int, _ body: (inout NVMeModel, UnsafeMutableRawBufferPointer) throws(Status) -> Void
    ) throws(Status) {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: byteCount, alignment: 16)
        defer { unsafe buffer.deallocate() }
        unsafe try body(&self, buffer)
    }

    /// `NN`.
    static let namespaceLimit: UInt32 = 256
    /// `MDTS`, as a shift of 4096 bytes: 512 KiB.
    static let transferShiftLimit = 7
}
