import CKVM
import VFIO
import VFIOPassthrough

/// The guest's virtual processor.
@safe
struct Processor: ~Copyable {
    private let file: KVMFile
    /// The memory shared with KVM: a `struct kvm_run`, which has the exit reason.
    private let state: UnsafeMutableRawBufferPointer

    /// The reason of an exit.
    enum Exit: Equatable {
        /// The guest has accessed an I/O port.
        case port(UInt16)
        /// The guest reads four bytes at an unmapped address: see ``answer(_:)``.
        case read(GuestAddress)
        /// The guest writes four bytes at an unmapped address.
        case write(UInt32, GuestAddress)
        /// Any other reason, by KVM's number.
        case other(UInt32)
    }

    /// Creates the only processor of a machine.
    static func make(of machine: borrowing KVMFile) throws(VFIOError) -> Processor {
        let byteCount = try KVMFile.open(machine.kernel).control(.stateByteCount)
        let file = try machine.make("the processor", .createProcessor)
        let state = try unsafe file.map(byteCount: byteCount)
        return unsafe Processor(file: file, state: state)
    }

    private init(file: consuming KVMFile, state: UnsafeMutableRawBufferPointer) {
        self.file = file
        unsafe self.state = unsafe state
    }

    deinit { try? unsafe file.kernel.unmap(state) }

    /// Sets the processor to the start of a program, in 32-bit protected mode without paging.
    borrowing func begin(at start: UInt64, stack: UInt64) throws(VFIOError) {
        var special = kvm_sregs()
        try file.control(.specialRegisters, with: &special)
        special.gdt.base = GuestProgram.descriptorTable
        special.gdt.limit = UInt16(GuestProgram.segments.count * 8 - 1)
        special.idt.base = GuestProgram.interruptTable
        special.idt.limit = UInt16(GuestProgram.vector) * 8 + 7
        special.cs = Self.segment(GuestProgram.codeSelector, type: 0xb)
        let data = Self.segment(GuestProgram.dataSelector, type: 0x3)
        (special.ds, special.es, special.fs, special.gs, special.ss) = (data, data, data, data, data)
        // CR0.PE: protected mode.
        special.cr0 |= 1
        try file.control(.setSpecialRegisters, with: &special)
        var registers = kvm_regs()
        registers.rip = start
        registers.rsp = stack
        // Bit 1 is always set; interrupts are disabled.
        registers.rflags = 1 << 1
        try file.control(.setRegisters, with: &registers)
    }

    /// A segment of 4 GiB, 32-bit, for ring 0.
    private static func segment(_ selector: UInt16, type: UInt8) -> kvm_segment {
        var segment = kvm_segment()
        segment.limit = .max
        segment.selector = selector
        segment.type = type
        segment.present = 1
        segment.db = 1
        segment.s = 1
        segment.g = 1
        return segment
    }

    /// Runs the guest until its next exit.
    borrowing func run() throws(VFIOError) -> Exit {
        try file.control(.run)
        let run = unsafe state.load(as: kvm_run.self)
        switch Int32(run.exit_reason) {
        case KVM_EXIT_IO: return .port(run.io.port)
        case KVM_EXIT_MMIO where run.mmio.len == 4:
            let address = GuestAddress(run.mmio.phys_addr)
            guard run.mmio.is_write != 0 else { return .read(address) }
            let (a, b, c, d, _, _, _, _) = run.mmio.data
            return .write(UInt32(a) | UInt32(b) << 8 | UInt32(c) << 16 | UInt32(d) << 24, address)
        default: return .other(run.exit_reason)
        }
    }

    /// Sets the value of the guest's pending read.
    borrowing func answer(_ value: UInt32) {
        unsafe state.storeBytes(of: value.littleEndian, toByteOffset: KVM_RUN_MMIO_DATA_OFFSET, as: UInt32.self)
    }
}
