import VFIO
import VFIOMock
import VFIOPassthrough

let machine = MockMachine()
machine.plug(NVMeMemoryModel(), at: "0000:00:04.0")

func run() throws {
    let space = try AddressSpace(kernel: machine.kernel)
    let device = try Device(at: "0000:00:04.0", in: space)
    let window = try device.exportDMABuf(of: .bar2, 0..<65536)
    let peer = try space.map(window)
    var states = ["\(peer.state)"]
    try device.reset()
    states.append("\(peer.state)")
    try peer.restore()
    states.append("\(peer.state)")
    print("mapped \(window.byteCount) bytes: \(states.joined(separator: ", then "))")

    let memory = try GuestMemory([.new(at: 0x10_0000, byteCount: 1 << 20)], in: space)
    try memory.withMemory(at: 0x10_1000) { memory, offset in memory.write32(0xC0FFEE, at: offset) }
    print("the guest has \(memory.ranges[0])")
}

try run()
