import CKVM
import ExampleSupport
import VFIO
import VFIOPassthrough

/// A virtual machine with an assigned device, without its processor.
struct GuestMachine: ~Copyable {
    // In the order of destruction.
    private let interrupt: IRQFD
    private let vector: InterruptVector
    let bar: GuestBAR
    let memory: GuestMemory
    private let device: Device
    let file: KVMFile

    /// The memory slots of KVM: the guest's memory, and the device's BAR.
    private static let memorySlot: UInt32 = 0
    private static let barSlots: Range<UInt32> = 1..<8
    /// The first line that is not a pin of the interrupt controllers.
    private static let interruptLine: UInt32 = 24

    /// Creates a machine with memory, a device and the device's interrupt.
    static func make(_ kernel: any Kernel, with address: PCIAddress) throws(VFIOError) -> GuestMachine {
        let kvm = try KVMFile.open(kernel)
        let file = try kvm.make("the virtual machine", .createMachine)
        // The interrupt controllers must exist before an interrupt can be connected.
        try file.control(.createInterruptControllers)
        let machine = try VirtualMachine(file.descriptor, kernel: kernel)
        // The device comes before the memory, because it limits the valid IOVAs.
        let space = try AddressSpace(kernel: kernel)
        let device = try Device(at: address, in: space, for: machine)
        try device.config.updateCommand { $0.formUnion([.memoryDecode, .busMaster]) }
        let memory = try GuestMemory([.new(at: 0, byteCount: GuestProgram.memoryByteCount)], in: space)
        // Map the same memory at the same addresses for the processor.
        try unsafe memory.withUnsafeMemory(at: 0) { (bytes) throws(VFIOError) in
            try unsafe setMemorySlot(of: file, bytes)
        }
        let bar = try device.makeGuestBAR(.bar0, of: machine, slots: barSlots)
        let vector = try device.interrupts(.msi).enable()
        let interrupt = try machine.makeIRQFD(for: vector, to: interruptLine)
        return GuestMachine(
            interrupt: interrupt, vector: vector, bar: bar, memory: memory, device: device, file: file)
    }

    /// Closes everything and reports errors of the kernel.
    consuming func close() throws(VFIOError) {
        try interrupt.close()
        try vector.close()
        try bar.close()
        try unsafe Self.setMemorySlot(of: file, nil)
        try memory.close()
        try device.close()
    }

    // MARK: The device

    /// Reads a register of the device for a guest that cannot access it directly.
    borrowing func read(_ address: GuestAddress) throws(VFIOError) -> UInt32 {
        let offset = try offset(of: address)
        return try device.withRegisters(.bar0) { (registers) throws(VFIOError) in registers.read32(at: offset) }
    }

    /// Writes a register of the device for a guest that cannot access it directly.
    borrowing func write(_ value: UInt32, at address: GuestAddress) throws(VFIOError) {
        let offset = try offset(of: address)
        try device.withRegisters(.bar0) { (registers) throws(VFIOError) in registers.write32(value, at: offset) }
    }

    /// Returns the offset in BAR 0 of a guest address, which may be any address.
    private borrowing func offset(of address: GuestAddress) throws(VFIOError) -> Int {
        let start = GuestProgram.barAddress.rawValue
        guard address.rawValue >= start, address.rawValue - start < bar.byteCount, address.rawValue % 4 == 0 else {
            throw VFIOError(.outOfRange, "reach a register for the guest", "guest address \(address)")
        }
        return Int(address.rawValue - start)
    }

    // MARK: The guest's memory

    /// Writes the program and its data to the guest's memory, and clears its results.
    borrowing func load() throws(VFIOError) {
        try write(GuestProgram.segments, at: GuestProgram.descriptorTable)
        try write([GuestProgram.gate], at: GuestProgram.interruptTable + UInt64(GuestProgram.vector) * 8)
        try write(GuestProgram.code, at: GuestProgram.start)
        try write(GuestProgram.handlerCode, at: GuestProgram.handler)
        try write(Array(GuestProgram.text.utf8), at: GuestProgram.source)
        try write([UInt64](repeating: 0, count: 2), at: GuestProgram.results)
        try write([UInt64](repeating: 0, count: 8), at: GuestProgram.destination)
    }

    /// Returns a result of the guest program.
    borrowing func result(_ result: GuestProgram.Result) throws(VFIOError) -> UInt32 {
        let address = GuestAddress(GuestProgram.results + result.rawValue)
        return try memory.withMemory(at: address) { (view, start) throws(VFIOError) in
            view.read32(at: start)
        }
    }

    /// Returns the text at a guest address, in quotes.
    borrowing func text(at address: UInt64) throws(VFIOError) -> String {
        try memory.withMemory(at: GuestAddress(address)) { (view, start) throws(VFIOError) in view.text(at: start) }
    }

    private borrowing func write(_ bytes: [UInt8], at address: UInt64) throws(VFIOError) {
        try memory.withMemory(at: GuestAddress(address)) { (view, start) throws(VFIOError) in
            view.copy(bytes, to: start)
        }
    }

    private borrowing func write(_ words: [UInt64], at address: UInt64) throws(VFIOError) {
        try memory.withMemory(at: GuestAddress(address)) { (view, start) throws(VFIOError) in
            for (index, word) in words.enumerated() { view.write64(word, at: start + index * 8) }
        }
    }

    // MARK: KVM

    /// Adds or removes a memory slot at guest address 0.
    private static func setMemorySlot(
        of machine: borrowing KVMFile, _ memory: UnsafeMutableRawBufferPointer?
    ) throws(VFIOError) {
        var slot = kvm_userspace_memory_region()
        slot.slot = memorySlot
        if let memory = unsafe memory {
            slot.memory_size = UInt64(memory.count)
            slot.userspace_addr = UInt64(UInt(bitPattern: memory.baseAddress))
        }
        try machine.control(.setMemorySlot, with: &slot)
    }

    /// Routes the interrupt line to an MSI message.
    ///
    /// A monitor uses the message that the guest has written to the device's MSI capability. This guest does not write
    /// one; the message is fixed.
    borrowing func routeInterrupt() throws(VFIOError) {
        var route = ckvm_irq_routing_of_one()
        route.nr = 1
        route.entry.gsi = Self.interruptLine
        route.entry.type = UInt32(KVM_IRQ_ROUTING_MSI)
        // The address of processor 0's local APIC, and in the data the vector, edge-triggered.
        unsafe route.entry.u.msi.address_lo = 0xfee0_0000
        unsafe route.entry.u.msi.data = UInt32(GuestProgram.vector)
        try file.control(.setInterruptRoutes, with: &route)
    }
}
