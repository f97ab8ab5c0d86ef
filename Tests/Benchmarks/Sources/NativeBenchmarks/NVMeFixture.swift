import CBaseline
import Harness
import NVMe
import VFIO
import VFIOMock

/// A queue pair of the NVMe driver, and a controller that is a C function on plain memory; the C side has the same one.
final class NVMeFixture {
    private let depth: Int
    private var queue: QueuePair
    private var controller: bench_controller
    private let namespace = Namespace(id: 1, blockCount: 1 << 20, blockSize: 512)
    private var random: UInt64 = 0x9e37_79b9_7f4a_7c15
    private let baseline: OpaquePointer

    init(depth: Int) throws {
        self.depth = depth
        let machine = MockMachine()
        machine.plug(SharedMemoryModel(byteCount: 1 << 16), at: "0000:00:03.0")
        let space = try AddressSpace(kernel: machine.kernel)
        let device = try Device(at: "0000:00:03.0", in: space)
        let bank = try device.makeRegisterBank(of: .bar2)
        let memory = try QueueMemory(in: space, depth: depth)
        controller = bench_controller(
            submissions: memory.submissions.unsafeBaseAddress.assumingMemoryBound(to: UInt8.self),
            completions: memory.completions.unsafeBaseAddress.assumingMemoryBound(to: UInt8.self),
            // Of the mapping that the driver writes to, as in C: by another address of the same memory the processor would
            // not find the store that is still on its way. The queue keeps it.
            doorbell: bank.unsafeMappedAddress(of: 0x1008, width: 4)!.assumingMemoryBound(to: UInt8.self),
            submissionCount: UInt32(memory.submissionEntryCount), completionCount: UInt32(memory.completionEntryCount),
            head: 0, tail: 0, phase: 1)
        queue = QueuePair(id: 1, registers: bank, memory: memory)
        baseline = baseline_make_queue(UInt32(depth))
    }

    var row: Row {
        Row("nvme-\(depth)", "submit and complete a read, \(depth) in flight") { [self] in
            guard loop($0) == $0 else { fatalError("a command is lost") }
        } baseline: { [self] in
            guard baseline_nvme_loop(baseline, Int64($0)) == $0 else { fatalError("a command is lost") }
        }
    }

    private func loop(_ count: Int) -> Int { nvmeLoop(&queue, &controller, &random, namespace, count) }
}

@inline(never)
private func nvmeLoop(
    _ queue: inout QueuePair, _ controller: inout bench_controller, _ state: inout UInt64, _ namespace: Namespace,
    _ count: Int
) -> Int {
    var succeeded = 0
    var submitted = 0
    while submitted < count {
        var random = state
        while submitted < count,
            unsafe queue.submitRead(of: namespace, at: random & 0xffff, into: IOVA(0x100000), ringing: false) != nil
        {
            random ^= random << 13
            random ^= random >> 7
            random ^= random << 17
            submitted &+= 1
        }
        state = random
        queue.ring()
        bench_controller_play(&controller)
        while let completion = queue.nextCompletion() { if completion.status.isSuccess { succeeded &+= 1 } }
    }
    return succeeded
}
