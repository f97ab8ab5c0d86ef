import SystemPackage
import VFIO
import VFIOMock

@testable import vfioctl

/// The kernel of a mock machine that gives other answers to what the doctor asks.
struct AilingKernel: Kernel {
    private let machine: MockMachine
    var files: [String: String] = ["/proc/cmdline": "quiet"]
    var folders: [String: [String]] = [:]
    var links: [String: String] = [:]
    var failures: [String: Errno] = [:]
    var lockLimit: UInt64?

    init(_ release: MockRelease = .iommufd) {
        machine = MockMachine(release)
        machine.plug(EduModel(), at: "0000:00:02.0")
        machine.plug(NVMeMemoryModel(), at: "0000:00:04.0")
    }

    private var kernel: MockKernel { machine.kernel }

    func findings(isMachineFine: Bool) -> [Finding] {
        DeviceDoctor(kernel: self, address: "0000:00:02.0").findings(isMachineFine: isMachineFine)
    }

    // MARK: Other answers

    func open(_ path: FilePath, _ mode: FileDescriptor.AccessMode) throws(Errno) -> FileDescriptor {
        if let failure = failures[path.string] { throw failure }
        return try kernel.open(path, mode)
    }
    func readLink(_ path: FilePath) throws(Errno) -> FilePath {
        if let target = links[path.string] { return FilePath(target) }
        return try kernel.readLink(path)
    }
    func readFile(_ path: FilePath) throws(Errno) -> [UInt8] {
        if let text = files[path.string] { return Array(text.utf8) }
        return try kernel.readFile(path)
    }
    func names(in folder: FilePath) throws(Errno) -> [String] {
        if let names = folders[folder.string] { return names }
        return try kernel.names(in: folder)
    }
    func memoryLockLimit() throws(Errno) -> UInt64? { lockLimit }

    // MARK: The mock's answers

    var pageSize: Int { kernel.pageSize }
    func close(_ descriptor: FileDescriptor) throws(Errno) { try kernel.close(descriptor) }
    func duplicate(_ descriptor: FileDescriptor) throws(Errno) -> FileDescriptor { try kernel.duplicate(descriptor) }
    func size(of descriptor: FileDescriptor) throws(Errno) -> UInt64 { try kernel.size(of: descriptor) }
    func read(_ descriptor: FileDescriptor, into buffer: UnsafeMutableRawBufferPointer) throws(Errno) -> Int {
        try kernel.read(descriptor, into: buffer)
    }
    func write(_ descriptor: FileDescriptor, from buffer: UnsafeRawBufferPointer) throws(Errno) -> Int {
        try kernel.write(descriptor, from: buffer)
    }
    func read(
        _ descriptor: FileDescriptor, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int { try kernel.read(descriptor, at: offset, into: buffer) }
    func write(
        _ descriptor: FileDescriptor, at offset: UInt64, from buffer: UnsafeRawBufferPointer
    ) throws(Errno) -> Int { try kernel.write(descriptor, at: offset, from: buffer) }
    func control(
        _ descriptor: FileDescriptor, _ request: UInt, _ argument: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int { try kernel.control(descriptor, request, argument) }
    func control(_ descriptor: FileDescriptor, _ request: UInt, value: UInt) throws(Errno) -> Int {
        try kernel.control(descriptor, request, value: value)
    }
    func map(_ request: MemoryMapRequest) throws(Errno) -> UnsafeMutableRawPointer { try kernel.map(request) }
    func unmap(_ memory: UnsafeMutableRawBufferPointer) throws(Errno) { try kernel.unmap(memory) }
    func makeEvent() throws(Errno) -> FileDescriptor { try kernel.makeEvent() }
    func waitUntilReadable(_ descriptor: FileDescriptor, timeout: Int32?) throws(Errno) -> Bool {
        try kernel.waitUntilReadable(descriptor, timeout: timeout)
    }
    func send(_ descriptor: FileDescriptor, over socket: FileDescriptor) throws(Errno) {
        try kernel.send(descriptor, over: socket)
    }
    func receiveDescriptor(from socket: FileDescriptor) throws(Errno) -> FileDescriptor {
        try kernel.receiveDescriptor(from: socket)
    }
    func writeFile(_ path: FilePath, _ bytes: [UInt8]) throws(Errno) { try kernel.writeFile(path, bytes) }
}
