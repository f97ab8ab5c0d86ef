import VFIO
import VFIOMock

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
}

try run()
