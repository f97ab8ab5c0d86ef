import Synchronization
import SystemPackage
import VFIO

/// A kernel whose answers are changed: those of ioctls, of reads, and of files. Descriptors are left alone, since the
/// program would close those that are not its own.
struct MutatingKernel: ForwardingKernel {
    private final class State: Sendable {
        let input: Mutex<Input>
        init(_ input: Input) { self.input = Mutex(input) }
    }

    let kernel: any Kernel
    /// The whole of config space instead of the device's.
    var config: [UInt8]?
    private let state: State

    init(_ kernel: any Kernel, _ input: Input, config: [UInt8]? = nil) {
        self.kernel = kernel
        self.config = config
        state = State(input)
    }

    /// Changes up to three bytes, and each fourth answer or so.
    private func mutate(_ count: Int, _ change: (Int, UInt8) -> Void) {
        state.input.withLock { input in
            guard count > 0, !input.isEmpty, input.byte() & 3 == 0 else { return }
            for _ in 0...(input.byte() % 3) {
                let position = Int(input.number(UInt16.self)) % count
                change(position, input.byte())
            }
        }
    }

    /// The numbers of requests whose structures tell of new descriptors: `IOMMU_FAULT_QUEUE_ALLOC`, `_VEVENTQ_ALLOC`,
    /// `VFIO_DEVICE_FEATURE` (migration).
    private static let descriptorRequests: Set<UInt> = [0x3b8e, 0x3b93, 0x3b75]

    func control(
        _ descriptor: FileDescriptor, _ request: UInt, _ argument: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        let result = try kernel.control(descriptor, request, argument)
        if !Self.descriptorRequests.contains(request) { mutate(argument.count) { argument[$0] = $1 } }
        return result
    }

    func read(
        _ descriptor: FileDescriptor, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        let count = try kernel.read(descriptor, at: offset, into: buffer)
        if let config, offset >> 40 == 7 {
            for index in buffer.indices {
                let place = Int(truncatingIfNeeded: offset & 0xff_ffff_ffff) + index
                buffer[index] = config.indices.contains(place) ? config[place] : 0
            }
        }
        mutate(count) { buffer[$0] = $1 }
        return count
    }

    func readFile(_ path: FilePath) throws(Errno) -> [UInt8] {
        var bytes = try kernel.readFile(path)
        mutate(bytes.count) { bytes[$0] = $1 }
        return bytes
    }
}
