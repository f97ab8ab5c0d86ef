import Edu
import ExampleSupport
import VFIO

/// The side that receives the dma-buf, and maps it for its own device.
///
/// It is not notified of a revocation. It can detect one in two ways: its device reads zeros, with an IOMMU fault in
/// the kernel log; and mapping the memory again fails until the exporter makes it available again.
struct Importer {
    static let answer = "an answer, by DMA"

    let device: PCIAddress
    let kernel: any Kernel
    let channel: Channel

    func run() throws {
        let space = try AddressSpace(.iommufd, kernel: kernel)
        let edu = try Edu(at: device, in: space)
        let buffer = try space.allocate(byteCount: 4096)
        let window = try DMABuf.receive(from: channel.descriptor, kernel: kernel)
        let peer = try space.map(window)
        say("received \(window.byteCount) bytes, which \(device) reaches at \(peer.iova)")
        try edu.copy(64, from: peer.iova, to: buffer.iova)
        say("\(device) reads \(buffer.text())")
        buffer.write(Self.answer)
        try edu.copy(64, from: buffer.iova, to: peer.iova)
        try channel.signal()

        try channel.wait()
        try edu.copy(64, from: peer.iova, to: buffer.iova)
        say("as far as it knows the mapping is \(peer.state), but \(device) reads \(buffer.text())")
        try Example.require(buffer.text() == "\"\"", "the memory was not taken away")
        say("it cannot be restored: \(try refusal(of: peer))")
        try channel.signal()

        try channel.wait()
        try peer.restore()
        try edu.copy(64, from: peer.iova, to: buffer.iova)
        say("restored, \(device) reads \(buffer.text())")
        try channel.signal()

        try channel.wait()
        try edu.copy(64, from: peer.iova, to: buffer.iova)
        say("\(device) reads \(buffer.text())")
        try Example.require(buffer.text() == "\"\"", "the memory was not taken away")
        say("it cannot be restored, now for good: \(try refusal(of: peer))")

        try peer.close()
        try window.close()
        try buffer.close()
        try edu.close()
    }

    /// Returns the kernel's error for mapping the memory again.
    private func refusal(of peer: borrowing PeerMapping) throws -> String {
        do {
            try peer.restore()
        } catch {
            guard error.code == .revoked else { throw error }
            return "\(error)"
        }
        throw Example.Failure("a revoked dma-buf was mapped")
    }

    private func say(_ sentence: String) { channel.say("importer: \(sentence)") }
}
