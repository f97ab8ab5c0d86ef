// What is exported here, the other files of the target need not import.
@_exported import SystemPackage
@_exported import TestSupport
@_exported import Testing
@_exported import VFIO
@_exported import VFIOMock
@_exported import VirtioNet

/// A port with its pool, and what the tests do with it over and over.
struct Rig: ~Copyable {
    var pool: PacketPool
    var port: Port
    let frame: TestFrame
    private var generator: Generator

    init(_ space: AddressSpace, bufferCount: Int = 512, options: PortOptions = PortOptions()) throws {
        let device = try Device(at: Machines.first, in: space)
        let pool = try PacketPool(in: space, count: bufferCount)
        port = try Port(device, pool: pool, options: options)
        self.pool = pool
        frame = TestFrame(from: MACAddress(0x5254_0000_0007), to: MACAddress(0x5254_0000_0008), hasChecksum: true)
        generator = Generator(frame, batchSize: 64)
    }

    /// Sends numbered frames, as many as there is room for.
    mutating func send(_ count: Int) throws -> Int { try generator.send(upTo: count, by: &port, pool: &pool) }

    /// Receives one burst, and gives its buffers back.
    ///
    /// - Returns: The numbers of the frames; -1 for what is no frame of ours.
    mutating func receive(upTo count: Int = 64) throws -> [Int] {
        var packets = [Packet](repeating: .none, count: count)
        var span = packets.mutableSpan
        let came = try port.receive(into: &span, pool: &pool)
        var numbers: [Int] = []
        for index in 0..<came {
            numbers.append(frame.number(of: pool.frame(of: span[index])).map(Int.init) ?? -1)
            pool.free(span[index])
        }
        return numbers
    }

    /// Receives until as many frames have come, but not for ever.
    mutating func receive(all count: Int) throws -> [Int] {
        let deadline = ContinuousClock.now + .seconds(10)
        var numbers: [Int] = []
        while numbers.count < count, ContinuousClock.now < deadline { numbers += try receive() }
        return numbers
    }

    /// Closes all, after which all buffers are to be free.
    consuming func close(sourceLocation: SourceLocation = #_sourceLocation) throws {
        try port.close(returningBuffersTo: &pool)
        let (free, all) = (pool.freeCount, pool.count)
        #expect(free == all, "buffers are lost", sourceLocation: sourceLocation)
        try pool.close()
    }

    /// Closes all as `close` does, whatever fails on the way, and gives the errors that came out.
    consuming func closingErrors(sourceLocation: SourceLocation = #_sourceLocation) -> [VirtioNetError] {
        var errors: [VirtioNetError] = []
        do throws(VirtioNetError) { try port.close(returningBuffersTo: &pool) } catch { errors.append(error) }
        let (free, all) = (pool.freeCount, pool.count)
        #expect(free == all, "buffers are lost", sourceLocation: sourceLocation)
        do throws(VirtioNetError) { try pool.close() } catch { errors.append(error) }
        return errors
    }
}

/// Runs a test on a machine of its own, which is to be as before afterwards.
func onMachine(
    _ machine: some NetworkMachine, sourceLocation: SourceLocation = #_sourceLocation,
    _ body: (AddressSpace) throws -> Void
) throws {
    do { try body(AddressSpace(kernel: machine.kernel)) }
    #expect(machine.leftovers == [], sourceLocation: sourceLocation)
}

/// The error that code of the driver throws.
func driverError(_ body: () throws -> Void, sourceLocation: SourceLocation = #_sourceLocation) -> VirtioNetError? {
    #expect(throws: VirtioNetError.self, sourceLocation: sourceLocation) { try body() }
}

extension Port {
    /// Gives the device the buffers of a pool, none of which comes back with a frame yet.
    mutating func giveBuffers(of pool: inout PacketPool, sourceLocation: SourceLocation = #_sourceLocation) throws {
        var packets = [Packet.none]
        var span = packets.mutableSpan
        #expect(try receive(into: &span, pool: &pool) == 0, sourceLocation: sourceLocation)
    }
}
