import CBaseline
import Glibc
import Harness
import SystemPackage
import VFIO

/// What goes through the kernel, with a kernel that answers at once.
final class CallFixture {
    /// As the library holds it.
    private let kernel: any Kernel
    private let pipe: FileDescriptor
    private let space: AddressSpace
    private let groupSpace: AddressSpace
    private let groupDevice: Device
    private let device: Device
    private let vector: InterruptVector
    private let event: FileDescriptor
    private let memory: UnsafeMutableRawBufferPointer

    init() throws {
        pipe = AnsweringKernel.pipe
        kernel = HostKernel()
        space = try AddressSpace(.iommufd, kernel: AnsweringKernel())
        device = try Device(at: "0000:00:02.0", in: space)
        groupSpace = try AddressSpace(.type1, kernel: AnsweringKernel())
        groupDevice = try Device(at: "0000:00:03.0", in: groupSpace)
        vector = try device.interrupts(.msi).enable()
        event = vector.withEvent { $0 }
        memory = .allocate(byteCount: 4096, alignment: 4096)
    }

    var rows: [Row] {
        [
            Row("ioctl", "ioctl (FIONREAD) on a pipe, Kernel.control of HostKernel") { [self] in
                ioctlLoop(kernel, pipe, $0)
            } baseline: { [self] in
                _ = baseline_ioctl_loop(pipe.rawValue, Int64($0))
            },
            Row("map-call", "AddressSpace.map and DMAMapping.close, of which each is an ioctl that a pipe answers") {
                [self] in
                mapLoop(space, memory, $0)
            } baseline: { [self] in
                _ = baseline_map_loop(pipe.rawValue, memory.baseAddress!, UInt64(memory.count), Int64($0))
            },
            Row("map-call-type1", "the same with a type1 container") { [self] in
                mapLoop(groupSpace, memory, $0)
            } baseline: { [self] in
                _ = baseline_map_loop(pipe.rawValue, memory.baseAddress!, UInt64(memory.count), Int64($0))
            },
            Row("interrupt-poll", "write to an eventfd, InterruptVector.poll") { [self] in
                pollLoop(vector, event, $0)
            } baseline: { [self] in
                _ = baseline_event_loop(event.rawValue, Int64($0))
            },
            Row("interrupt-wait", "write to an eventfd, InterruptVector.wait") { [self] in
                waitLoop(vector, event, $0)
            } baseline: { [self] in
                _ = baseline_event_loop(event.rawValue, Int64($0))
            },
        ]
    }
}

// MARK: The loops

@inline(never)
private func ioctlLoop(_ kernel: any Kernel, _ pipe: FileDescriptor, _ count: Int) {
    let request = UInt(baseline_ioctl_request())
    var sum: UInt64 = 0
    for _ in 0..<count {
        var available: Int32 = 0
        let result = withUnsafeMutableBytes(of: &available) { try? kernel.control(pipe, request, $0) }
        guard result == 0 else { fatalError("a pipe did not tell how much it holds") }
        sum &+= UInt64(available)
    }
    _ = bench_opaque(sum)
}

@inline(never)
private func mapLoop(_ space: AddressSpace, _ memory: UnsafeMutableRawBufferPointer, _ count: Int) {
    do {
        for _ in 0..<count { try space.map(memory).close() }
    } catch {
        fatalError("\(error)")
    }
}

@inline(never)
private func pollLoop(_ vector: borrowing InterruptVector, _ event: FileDescriptor, _ count: Int) {
    do {
        for _ in 0..<count {
            signal(event)
            guard try vector.poll() == 1 else { fatalError("an interrupt is missing") }
        }
    } catch { fatalError("\(error)") }
}

@inline(never)
private func waitLoop(_ vector: borrowing InterruptVector, _ event: FileDescriptor, _ count: Int) {
    do {
        for _ in 0..<count {
            signal(event)
            guard try vector.wait() == 1 else { fatalError("an interrupt is missing") }
        }
    } catch { fatalError("\(error)") }
}

@inline(__always)
private func signal(_ event: FileDescriptor) {
    var one: UInt64 = 1
    guard write(event.rawValue, &one, 8) == 8 else { fatalError("the eventfd took no count") }
}
