import CBaseline
import SystemPackage
import VFIO
import VFIOMock

/// A mock's kernel, but what a driver does all the time goes to Linux: events, and the requests that map and unmap, for which
/// a pipe answers how many bytes it holds.
///
/// So a call has its true price, and what the library adds to it can be seen. As `HostKernel` it is empty: what it knows
/// is kept outside, or else the library would hold it in a box that is counted.
struct AnsweringKernel: Kernel {
    private static let machine = {
        let machine = MockMachine()
        for address in ["0000:00:02.0", "0000:00:03.0"] as [PCIAddress] { machine.plug(EduModel(), at: address) }
        return machine
    }()
    /// Nothing is ever written to it.
    static let pipe = try! FileDescriptor.pipe().readEnd

    private var mock: any Kernel { Self.machine.kernel }
    private var host: HostKernel { HostKernel() }

    // MARK: Answered by Linux

    func control(
        _ descriptor: FileDescriptor, _ request: UInt, _ argument: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        // IOMMU_IOAS_MAP and IOMMU_IOAS_UNMAP, VFIO_IOMMU_MAP_DMA and VFIO_IOMMU_UNMAP_DMA: their answer is the length
        // that they were given.
        if [0x3b85, 0x3b86, 0x3b71, 0x3b72].contains(request) {
            return try host.control(Self.pipe, UInt(baseline_ioctl_request()), argument)
        }
        return try mock.control(descriptor, request, argument)
    }
    func read(_ descriptor: FileDescriptor, into buffer: UnsafeMutableRawBufferPointer) throws(Errno) -> Int {
        try host.read(descriptor, into: buffer)
    }
    func waitUntilReadable(_ descriptor: FileDescriptor, timeout: Int32?) throws(Errno) -> Bool {
        try host.waitUntilReadable(descriptor, timeout: timeout)
    }
    var pageSize: Int { host.pageSize }

    // MARK: Answered by the mock

    func open(_ path: FilePath, _ mode: FileDescriptor.AccessMode) throws(Errno) -> FileDescriptor {
        try mock.open(path, mode)
    }
    func close(_ descriptor: FileDescriptor) throws(Errno) { try mock.close(descriptor) }
    func duplicate(_ descriptor: FileDescriptor) throws(Errno) -> FileDescriptor { try mock.duplicate(descriptor) }
    func size(of descriptor: FileDescriptor) throws(Errno) -> UInt64 { try mock.size(of: descriptor) }
    func write(_ descriptor: FileDescriptor, from buffer: UnsafeRawBufferPointer) throws(Errno) -> Int {
        try mock.write(descriptor, from: buffer)
    }
    func read(_ descriptor: FileDescriptor, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(Errno)
        -> Int
    { try mock.read(descriptor, at: offset, into: buffer) }
    func write(_ descriptor: FileDescriptor, at offset: UInt64, from buffer: UnsafeRawBufferPointer) throws(Errno)
        -> Int
    { try mock.write(descriptor, at: offset, from: buffer) }
    func control(_ descriptor: FileDescriptor, _ request: UInt, value: UInt) throws(Errno) -> Int {
        try mock.control(descriptor, request, value: value)
    }
    func map(_ request: MemoryMapRequest) throws(Errno) -> UnsafeMutableRawPointer { try mock.map(request) }
    func unmap(_ memory: UnsafeMutableRawBufferPointer) throws(Errno) { try mock.unmap(memory) }
    func makeEvent() throws(Errno) -> FileDescriptor { try mock.makeEvent() }
    func send(_ descriptor: FileDescriptor, over socket: FileDescriptor) throws(Errno) {
        try mock.send(descriptor, over: socket)
    }
    func receiveDescriptor(from socket: FileDescriptor) throws(Errno) -> FileDescriptor {
        try mock.receiveDescriptor(from: socket)
    }
    func readLink(_ path: FilePath) throws(Errno) -> FilePath { try mock.readLink(path) }
    func readFile(_ path: FilePath) throws(Errno) -> [UInt8] { try mock.readFile(path) }
    func writeFile(_ path: FilePath, _ bytes: [UInt8]) throws(Errno) { try mock.writeFile(path, bytes) }
    func names(in folder: FilePath) throws(Errno) -> [String] { try mock.names(in: folder) }
    func memoryLockLimit() throws(Errno) -> UInt64? { try mock.memoryLockLimit() }
}
