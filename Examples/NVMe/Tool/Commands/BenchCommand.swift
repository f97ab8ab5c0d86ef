import ArgumentParser
import NVMe
import ToolSupport
import VFIO

/// `nvmectl bench`.
struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measure random reads.",
        discussion: """
            Prints one line: the given size, depth and mode, then the number of reads, the elapsed seconds, reads per second \
            (iops), and the number of failed reads. It ends early if the host wants the device back.
            """)

    @OptionGroup var disk: DiskOptions

    @Option(help: "The size of a read in bytes, a multiple of the block size.")
    var size = 4096

    @Option(help: "The number of reads in flight.")
    var depth = 32

    @Option(help: "The duration in seconds.")
    var seconds = 5.0

    @Option(help: "The number of reads, instead of a duration.")
    var count: Int?

    @Flag(help: "Wait for interrupts instead of polling.")
    var interrupts = false

    func validate() throws {
        guard depth > 0, size > 0, seconds > 0, count ?? 1 > 0 else {
            throw ValidationError("--size, --depth, --seconds and --count are greater than 0")
        }
        // NaN fails this check too.
        guard seconds <= 86400 else { throw ValidationError("--seconds is at most 86400, which is a day") }
    }

    func run() throws {
        let space = try AddressSpace(kernel: disk.makeKernel())
        let controller = try disk.open(in: space)
        var host = try controller.withDevice { (device) throws(VFIOError) in try HostCheck(device) }
        let namespace = try disk.namespace(of: controller)
        guard size % namespace.blockSize == 0, UInt64(size) <= namespace.byteCount else {
            throw ValidationError("--size has to be a multiple of \(namespace.blockSize), and fit on the disk")
        }
        let most = min(controller.info.maximumTransferByteCount ?? .max, 65536 * namespace.blockSize)
        guard size <= most else { throw ValidationError("--size is at most \(most), which one command can move here") }
        // All reads have the same destination, because the data is not used.
        let buffer = try space.allocate(byteCount: size)
        var queue = try controller.makeQueue(
            depth: depth, maximumTransferByteCount: size, interrupts: interrupts)
        var load = RandomReads(namespace, byteCount: size, into: buffer.iova)
        // Warm-up: the first reads miss all caches.
        try load.run(&queue, sleeping: interrupts, upTo: 2 * depth, for: .seconds(60), &host)
        load.reset()
        let start = ContinuousClock.now
        try load.run(
            &queue, sleeping: interrupts, upTo: count ?? .max, for: .seconds(count == nil ? seconds : 86400), &host)
        let time = (ContinuousClock.now - start) / .seconds(1)
        print(
            "bench: size=\(size) depth=\(depth) mode=\(interrupts ? "interrupts" : "poll") reads=\(load.completed)",
            "seconds=\(Self.rounded(time, 3)) iops=\(Int(Double(load.completed) / time)) failed=\(load.failed)")
        try queue.close()
        try buffer.close()
        try host.close()
        try controller.close()
        if load.failed > 0 { throw ExitCode.failure }
    }

    private static func rounded(_ value: Double, _ digits: Int) -> Double {
        var scale = 1.0
        for _ in 0..<digits { scale *= 10 }
        return (value * scale).rounded() / scale
    }
}
