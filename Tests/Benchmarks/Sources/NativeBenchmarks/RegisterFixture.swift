import CBaseline
import Harness
import VFIO
import VFIOMock

/// A BAR and a ring in plain memory, of a mock machine.
///
/// The mock has no part in an access: BAR and ring are memory of this process, and the library reaches them as it reaches a
/// device's.
final class RegisterFixture {
    private let bar: MappedRegion
    private let ring: DMABuffer
    private let bank: RegisterBank

    init() throws {
        let machine = MockMachine()
        machine.plug(SharedMemoryModel(byteCount: 1 << 16), at: "0000:00:03.0")
        let space = try AddressSpace(kernel: machine.kernel)
        let device = try Device(at: "0000:00:03.0", in: space)
        bar = try device.map(.bar2)
        bank = try device.makeRegisterBank(of: .bar2)
        ring = try space.allocate(byteCount: 4096)
        // Not measured, only here so that `run disassembly` finds them in the program.
        singleAccesses(ring, bar, bank)
    }

    var rows: [Row] {
        [
            Row("register", "32-bit register write and read, MappedRegion") { [self] in
                registerLoop(bar, $0)
            } baseline: { [self] in
                _ = baseline_register_loop(bar.unsafeBaseAddress, Int64($0))
            },
            Row("doorbell", "ring descriptor (16 bytes) and doorbell, DMABuffer and MappedRegion") { [self] in
                ringLoop(ring, bar, $0)
            } baseline: { [self] in
                baseline_ring_loop(ring.unsafeBaseAddress, bar.unsafeBaseAddress, Int64($0))
            },
            Row("register-any", "32-bit register write and read, RegisterBank.registers (mapped or not)") { [self] in
                anyRegisterLoop(bank, $0)
            } baseline: { [self] in
                _ = baseline_register_loop(bar.unsafeBaseAddress, Int64($0))
            },
            Row("doorbell-any", "ring descriptor (16 bytes) and doorbell, RegisterBank.registers (mapped or not)") {
                [self] in
                anyRingLoop(ring, bank, $0)
            } baseline: { [self] in
                baseline_ring_loop(ring.unsafeBaseAddress, bar.unsafeBaseAddress, Int64($0))
            },
        ]
    }
}

// MARK: Single accesses, for the disassembly

private func singleAccesses(_ ring: borrowing DMABuffer, _ bar: borrowing MappedRegion, _ bank: borrowing RegisterBank)
{
    let one = UInt32(truncatingIfNeeded: bench_opaque(1))
    _ = registerAccess(bar.memory, one)
    ringAccess(ring.memory, bar.memory, one)
    anyRegisterAccess(bank.registers, one)
}

@inline(never)
private func registerAccess(_ bar: DeviceMemory, _ value: UInt32) -> UInt32 {
    bar.write32(value, at: 0x10)
    return bar.read32(at: 0x14)
}

@inline(never)
private func anyRegisterAccess(_ registers: Registers, _ value: UInt32) {
    registers.write32(value, at: 0x10)
}

@inline(never)
private func ringAccess(_ ring: DeviceMemory, _ bar: DeviceMemory, _ index: UInt32) {
    let slot = Int(index & 255) * 16
    ring.write64(UInt64(index), at: slot)
    ring.write64(64, at: slot + 8)
    bar.writeReleasing32(index, at: 0x20)
}

// MARK: The loops

@inline(never)
private func registerLoop(_ bar: borrowing MappedRegion, _ count: Int) {
    var sum: UInt64 = 0
    for index in 0..<count {
        bar.write32(UInt32(truncatingIfNeeded: index), at: 0x10)
        sum &+= UInt64(bar.read32(at: 0x14))
    }
    _ = bench_opaque(sum)
}

@inline(never)
private func ringLoop(_ ring: borrowing DMABuffer, _ bar: borrowing MappedRegion, _ count: Int) {
    // Said once, so that the compiler knows that every slot is inside, and need not look again at each.
    precondition(ring.byteCount == 4096)
    for index in 0..<count {
        let slot = (index & 255) * 16
        ring.write64(UInt64(UInt32(truncatingIfNeeded: index)), at: slot)
        ring.write64(64, at: slot + 8)
        bar.writeReleasing32(UInt32(truncatingIfNeeded: index), at: 0x20)
    }
}

@inline(never)
private func anyRegisterLoop(_ bank: borrowing RegisterBank, _ count: Int) {
    let registers = bank.registers
    var sum: UInt64 = 0
    for index in 0..<count {
        registers.write32(UInt32(truncatingIfNeeded: index), at: 0x10)
        sum &+= UInt64(registers.read32(at: 0x14))
    }
    _ = bench_opaque(sum)
}

@inline(never)
private func anyRingLoop(_ ring: borrowing DMABuffer, _ bank: borrowing RegisterBank, _ count: Int) {
    precondition(ring.byteCount == 4096)
    let registers = bank.registers
    for index in 0..<count {
        let slot = (index & 255) * 16
        ring.write64(UInt64(UInt32(truncatingIfNeeded: index)), at: slot)
        ring.write64(64, at: slot + 8)
        registers.writeReleasing32(UInt32(truncatingIfNeeded: index), at: 0x20)
    }
}
