import Glibc

@testable import VFIO

/// A dma-buf that is handed to another process, by a Unix socket whose both ends are here.
extension Contract.HandOverTests {
    private static func makeSockets() -> [FileDescriptor] {
        var ends: [Int32] = [-1, -1]
        precondition(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        return ends.map { FileDescriptor(rawValue: $0) }
    }

    @Test("a dma-buf goes over a socket, and works at the other end", arguments: Scenario.all)
    func sendAndReceive(_ scenario: Scenario) throws {
        try Contract.PeerToPeerTests.withPeers(scenario, exporter: .nvme) { bench, space, edu, device, landing in
            let ends = Self.makeSockets()
            let window = try device.exportDMABuf(of: .bar2, 4096..<12288)
            try window.send(over: ends[0])
            try window.close()
            let received = try DMABuf.receive(from: ends[1], kernel: bench.kernel)
            #expect(received.byteCount == 8192)
            #expect(received.isRevocationTracked == false)
            let peer = try space.map(received)
            try edu.write([1, 2, 3, 4], at: peer.iova, by: landing)
            let bar = try device.map(.bar2)
            bar.expect([1, 2, 3, 4], at: 4096)
            try closeAll(bar, peer, received)
            for end in ends { try end.close() }
        }
    }

    @Test("the receiver hears of a revocation only from the kernel", arguments: Scenario.all)
    func revoked(_ scenario: Scenario) throws {
        try Contract.PeerToPeerTests.withPeers(scenario, exporter: .nvme) { bench, space, edu, device, landing in
            let ends = Self.makeSockets()
            let window = try device.exportDMABuf(of: .bar2, 0..<4096)
            try window.send(over: ends[0])
            let received = try DMABuf.receive(from: ends[1], kernel: bench.kernel)
            let peer = try space.map(received)
            try device.reset()
            #expect(received.state == .live)
            #expect(peer.state == .live)
            try bench.expectFault(.read, at: peer.iova, by: bench.edu) { try edu.load(4, from: peer.iova) }
            try peer.restore()
            try edu.write([4, 3, 2, 1], at: peer.iova, by: landing)
            try edu.expect([4, 3, 2, 1], at: peer.iova, by: landing)
            try closeAll(peer, received, window)
            for end in ends { try end.close() }
        }
    }

    @Test("a message without a descriptor, and a closed socket, are said to be so", arguments: Scenario.all)
    func refusals(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let ends = Self.makeSockets()
        try ends[0].writeAll([1])
        expectRefusal(.unexpectedAnswer, .noMessage) { _ = try DMABuf.receive(from: ends[1], kernel: bench.kernel) }
        try ends[0].close()
        expectRefusal(.kernel, .connectionReset) { _ = try DMABuf.receive(from: ends[1], kernel: bench.kernel) }
        try ends[1].close()
    }

    @Test("a dma-buf that is in the mail is not lost with its sender's descriptor", arguments: Scenario.all)
    func inFlight(_ scenario: Scenario) throws {
        guard let bench = try scenario.makeBenchWithDMABuf() else { return }
        let ends = Self.makeSockets()
        let device = try Device(at: bench.memory, in: bench.makeSpace())
        let window = try device.exportDMABuf(of: .bar2, 0..<4096)
        try window.send(over: ends[0])
        try closeAll(window, device)
        let received = try DMABuf.receive(from: ends[1], kernel: bench.kernel)
        #expect(received.byteCount == 4096)
        try received.close()
        for end in ends { try end.close() }
    }
}
