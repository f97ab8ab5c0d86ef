import NVMe
import SystemPackage
import VFIO
import VFIOMock
import VirtioNet

/// A device whose registers, and whose answers to NVMe's Identify, are changed.
private struct MutatingModel<Inner: MockDevice>: MockDevice {
    var inner: Inner
    var input: Input
    let pci: MockPCIFunction
    /// NVMe's admin submission queue, and whether a doorbell at 0x1000 is its.
    var adminQueue: UInt64?
    var tail: UInt64 = 0

    init(_ inner: Inner, _ input: Input, isNVMe: Bool) {
        self.inner = inner
        self.input = input
        pci = inner.pci
        adminQueue = isNVMe ? 0 : nil
    }

    mutating func read(bar: Int, at offset: UInt64, width: Int, bus: borrowing MockBus) -> UInt64 {
        let value = inner.read(bar: bar, at: offset, width: width, bus: bus)
        guard !input.isEmpty, input.byte() & 7 == 0 else { return value }
        let mask = UInt64.max >> (64 - UInt64(width) * 8)
        return (value ^ UInt64(input.byte()) << (UInt64(input.byte()) % 64)) & mask
    }

    mutating func write(_ value: UInt64, bar: Int, at offset: UInt64, width: Int, bus: borrowing MockBus) {
        inner.write(value, bar: bar, at: offset, width: width, bus: bus)
        guard let queue = adminQueue else { return }
        switch offset {
        case 0x28: adminQueue = width == 8 ? value : queue & ~0xffff_ffff | value
        case 0x2c: adminQueue = queue & 0xffff_ffff | value << 32
        case 0x1000:
            let entry = bus.read(IOVA(queue &+ tail &* 64), byteCount: 64)
            tail = value
            let data = (0..<8).reduce(0) { $0 | UInt64(entry[24 + $1]) << UInt64($1 * 8) }
            guard entry[0] == 0x06, !input.isEmpty else { return }
            for _ in 0..<input.byte() % 4 {
                bus.write([input.byte()], to: IOVA(data &+ UInt64(input.number(UInt16.self) & 0xfff)))
            }
        default: break
        }
    }

    mutating func reset(bus: borrowing MockBus) { inner.reset(bus: bus) }
    mutating func start(bus: borrowing MockBus) { inner.start(bus: bus) }
}

/// The two drivers with devices that lie.
func fuzzDrivers(_ data: UnsafePointer<UInt8>?, _ size: Int) -> Int32 {
    var input = Input(Array(UnsafeBufferPointer(start: data, count: size)))
    let isNVMe = input.byte() & 1 == 0
    let machine = MockMachine()
    let address: PCIAddress = "0000:00:04.0"
    if isNVMe {
        machine.plug(MutatingModel(NVMeModel(memoryByteCount: 0), input, isNVMe: true), at: address)
    } else {
        machine.plug(MutatingModel(VirtioNetModel(), input, isNVMe: false), at: address)
    }
    try? isNVMe ? useDisk(at: address, machine.kernel) : useCard(at: address, machine.kernel)
    precondition(machine.openFiles.isEmpty, "\(machine.openFiles)")
    return 0
}

private func useDisk(at address: PCIAddress, _ kernel: any Kernel) throws {
    var options = ControllerOptions()
    options.commandTimeout = .milliseconds(2)
    options.readyTimeout = .milliseconds(2)
    options.shutdownTimeout = .milliseconds(2)
    let space = try AddressSpace(kernel: kernel)
    let controller = try Controller(Device(at: address, in: space), options: options)
    let disk = try controller.namespace()
    var queue = try controller.makeQueue(depth: 8, interrupts: false)
    let buffer = try space.allocate(byteCount: 16 << 10)
    try? queue.read(disk, at: 0, into: buffer)
    try? queue.write(disk, at: 0, from: buffer)
    try? queue.close()
    try? controller.close()
    try? buffer.close()
}

private func useCard(at address: PCIAddress, _ kernel: any Kernel) throws {
    let space = try AddressSpace(kernel: kernel)
    var pool = try PacketPool(in: space, count: 8)
    var port = try Port(Device(at: address, in: space), pool: pool, options: PortOptions(queueSize: 8))
    if let packet = pool.allocate(length: 60) {
        let packets = [packet]
        if (try? port.transmit(packets.span, pool: &pool)) != 1 { pool.free(packet) }
    }
    var received = [Packet](repeating: .none, count: 8)
    var packets = received.mutableSpan
    _ = try? port.receive(into: &packets, pool: &pool)
    try? port.reclaim(to: &pool)
    try? port.check()
    try? port.close(returningBuffersTo: &pool)
    try? pool.close()
}
