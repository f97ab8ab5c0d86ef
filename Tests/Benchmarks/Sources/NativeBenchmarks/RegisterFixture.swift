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
    private let device: Device

    init() throws {
        let machine = MockMachine()
        machine.plug(SharedMemoryModel(byteCount: 1 << 16), at: "0000:00:03.0")
        let space = try AddressSpace(kernel: machine.kernel)
        device = try Device(at: "0000:00:03.0", in: space)
        bar = try device.map(.bar2)
        ring = try space.allocate(byteCount: 4096)
        // Not measured, only here so that `run disassembly` finds them in the program.
        singleAccesses(ring, bar)
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
            Row("register-any", "32-bit register write and read, Registers (mapped or not)") { [self] in
                anyRegisterLoop(device, $0)
            } baseline: { [self] in
                _ = baseline_register_loop(bar.unsafeBaseAddress, Int64($0))
            },
            Row("doorbell-any", "ring descriptor (16 bytes) and doorbell, Registers (mapped or not)") { [self] in
                anyRingLoop(ring, device, $0)
            } baseline: { [self] in
                baseline_ring_loop(ring.unsafeBaseAddress, bar.unsafeBaseAddress, Int64($0))
            },
        ]
    }
}

// MARK: Single accesses, for the disassembly

private func singleAccesses(_ ring: borrowing DMABuffer, _ bar: borrowing MappedRegion) {
    let one = UInt32(truncatingIfNeeded: bench_opaque(1))
    _ = registerAccess(bar.memory, one)
    ringAccess(ring.memory, bar.memory, one)
}

@inline(never)
private func registerAccess(_ bar: DeviceMemory, _ value: UInt32) -> UInt32 {
    bar.write32(value, at: 0x10)
    return bar.read32(at: 0x14)
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
private func anyRegisterLoop(_ device: borrowing Device, _ count: Int) {
    let sum = try? device.withRegisters(.bar2) { (registers) throws(VFIOError) in
        var sum: UInt64 = 0
        for index in 0..<count {
            registers.write32(UInt32(truncatingIfNeeded: index), at: 0x10)
            sum &+= UInt64(registers.read32(at: 0x14))
        }
        return sum
    }
    _ = bench_opaque(sum ?? 0)
}

@inline(never)
private func anyRingLoop(_ ring: borrowing DMABuffer, _ device: borrowing Device, _ count: Int) {
    _ = try? device.withRegisters(.bar2) { (registers) throws(VFIOError) in
        for index in 0..<count {
            let slot = (index & 255) * 16
            ring.write64(UInt64(UInt32(truncatingIfNeeded: index)), at: slot)
            ring.write64(64, at: slot + 8)
            registers.writeReleasing32(UInt32(truncatingIfNeeded: index), at: 0x20)
        }
    }
}
