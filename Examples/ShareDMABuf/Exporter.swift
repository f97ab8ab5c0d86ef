import ExampleSupport
import VFIO

/// The side that owns the memory.
struct Exporter {
    let device: PCIAddress
    let kernel: any Kernel
    let channel: Channel

    func run() throws {
        let device = try Device(at: device, in: AddressSpace(.iommufd, kernel: kernel))
        try device.config.updateCommand { $0.insert(.memoryDecode) }
        let bar = try device.map(.bar2, 0..<4096)
        bar.write("hello from another process")
        let window = try device.exportDMABuf(of: .bar2, 0..<4096)
        say("BAR 2 of \(device.address) goes over the socket as a dma-buf")
        try window.send(over: channel.descriptor)

        try channel.wait()
        say("its memory now holds \(bar.text())")
        try Example.require(bar.text() == "\"\(Importer.answer)\"", "the importer's device has not written here")
        // This revokes the dma-buf. So do a reset and the exit of this process, for any reason.
        try device.config.updateCommand { $0.remove(.memoryDecode) }
        say("memory decode of \(device.address) is off: the dma-buf is \(window.state)")
        try channel.signal()

        try channel.wait()
        try device.config.updateCommand { $0.insert(.memoryDecode) }
        say("memory decode is on again: the dma-buf is \(window.state)")
        bar.write("hello again")
        try channel.signal()

        try channel.wait()
        try bar.close()
        try window.close()
        try device.close()
        say("the device is closed")
        try channel.signal()
    }

    private func say(_ sentence: String) { channel.say("exporter: \(sentence)") }
}
