import Synchronization

@testable import VFIO

/// A kernel that answers as a test has written down, however odd that is.
///
/// It keeps account of what it has handed out, so that a test sees what is still open. Event counters are real ones, and
/// memory is real memory.
final class ScriptedKernel: Kernel {
    typealias Answer = @Sendable (UnsafeMutableRawBufferPointer) throws(Errno) -> Int
    typealias ValueAnswer = @Sendable (UInt) throws(Errno) -> Int
    typealias Access = @Sendable (_ offset: UInt64, UnsafeMutableRawBufferPointer) throws(Errno) -> Int

    fileprivate struct State {
        var answers: [UInt: Answer] = [:]
        var answerToAll: (@Sendable (UInt, UnsafeMutableRawBufferPointer) throws(Errno) -> Int)?
        var valueAnswers: [UInt: ValueAnswer] = [:]
        var nodes: Set<String> = []
        var folders: [String: [String]] = [:]
        var links: [String: String] = [:]
        var readAt: Access?
        var writeAt: Access?
        var beforeRead: (@Sendable () -> Void)?
        var signals = 0
        var reads: [Int32: Answer] = [:]
        var writes: [Int32: Answer] = [:]
        var sizes: [Int32: UInt64] = [:]
        var nextDescriptor: Int32 = 1 << 20
        var open: [Int32: String] = [:]
        var events: Set<Int32> = []
        var mapped: [UInt: Int] = [:]
        var calls: [String] = []
        var countdown: (left: Int, errno: Errno)?
        var hasFailed = false
    }

    private let state = Mutex(State())
    private let host = HostKernel()

    var pageSize: Int { 4096 }

    // MARK: The script

    /// Answers an ioctl on a structure.
    func answer(_ request: UInt, _ answer: @escaping Answer) { state.withLock { $0.answers[request] = answer } }

    /// Answers each ioctl on a structure that has no answer of its own.
    func answerAll(_ answer: @escaping @Sendable (UInt, UnsafeMutableRawBufferPointer) throws(Errno) -> Int) {
        state.withLock { $0.answerToAll = answer }
    }

    /// Answers an ioctl on a structure of a known type, which the answer may change.
    func answer<Structure: BitwiseCopyable>(
        _ request: UInt, _ type: Structure.Type, _ body: @escaping @Sendable (inout Structure) throws(Errno) -> Int
    ) {
        answer(request) { (bytes) throws(Errno) in
            // An older, shorter structure is filled up with zeroes, as the kernel does.
            let whole = UnsafeMutableRawBufferPointer.allocate(byteCount: MemoryLayout<Structure>.size, alignment: 8)
            defer { whole.deallocate() }
            whole.initializeMemory(as: UInt8.self, repeating: 0)
            let count = min(whole.count, bytes.count)
            whole.baseAddress!.copyMemory(from: bytes.baseAddress!, byteCount: count)
            var value = whole.load(as: Structure.self)
            // What the kernel has to say may come with an error, such as the room that it would have needed.
            defer {
                withUnsafeBytes(of: value) { bytes.baseAddress!.copyMemory(from: $0.baseAddress!, byteCount: count) }
            }
            return try body(&value)
        }
    }

    /// Lets an ioctl on a structure of a known type succeed, with what the answer changes in it.
    func accept<Structure: BitwiseCopyable>(
        _ request: UInt, _ type: Structure.Type, _ change: @escaping @Sendable (inout Structure) -> Void
    ) {
        answer(request, type) { (structure) throws(Errno) in
            change(&structure)
            return 0
        }
    }

    /// Lets an ioctl on a structure succeed.
    func accept(_ request: UInt, _ answer: @escaping @Sendable (UnsafeMutableRawBufferPointer) -> Void = { _ in }) {
        self.answer(request) { (bytes) throws(Errno) in
            answer(bytes)
            return 0
        }
    }

    /// Lets an ioctl on a structure fail.
    func refuse(_ request: UInt, with errno: Errno) { answer(request) { (_) throws(Errno) in throw errno } }

    /// Answers an ioctl on a number.
    func answerValue(_ request: UInt, _ answer: @escaping ValueAnswer) {
        state.withLock { $0.valueAnswers[request] = answer }
    }

    func addNode(_ path: String) { _ = state.withLock { $0.nodes.insert(path) } }
    func removeNode(_ path: String) { _ = state.withLock { $0.nodes.remove(path) } }
    func addFolder(_ path: String, _ names: [String]) { state.withLock { $0.folders[path] = names } }
    func addLink(_ path: String, to target: String) { state.withLock { $0.links[path] = target } }
    func onReadAt(_ access: @escaping Access) { state.withLock { $0.readAt = access } }
    func onWriteAt(_ access: @escaping Access) { state.withLock { $0.writeAt = access } }

    /// Lets the next waits be ended by a signal.
    func interruptWaits(_ count: Int) { state.withLock { $0.signals = count } }

    /// Answers `read(2)` of a descriptor.
    func onRead(of descriptor: FileDescriptor, _ answer: @escaping Answer) {
        state.withLock { $0.reads[descriptor.rawValue] = answer }
    }

    /// Answers `write(2)` to a descriptor.
    func onWrite(to descriptor: FileDescriptor, _ answer: @escaping Answer) {
        state.withLock { $0.writes[descriptor.rawValue] = answer }
    }

    /// Runs once, before the next read of an event counter.
    func beforeNextRead(_ body: @escaping @Sendable () -> Void) { state.withLock { $0.beforeRead = body } }

    /// Lets the n-th call from now on fail, counted from 1; closes and unmaps do not count.
    func failCall(_ number: Int, with errno: Errno) {
        state.withLock {
            $0.countdown = (number, errno)
            $0.hasFailed = false
        }
    }

    /// Whether the failure that was asked for has come.
    var hasFailed: Bool { state.withLock { $0.hasFailed } }

    /// A descriptor that nothing has opened, of something with a size.
    func makeDescriptor(_ name: String, size: UInt64 = 0) -> FileDescriptor {
        state.withLock { $0.makeDescriptor(name, size: size) }
    }

    /// What is open now, by the names under which it was opened.
    var openNames: [String] { state.withLock { $0.open.values.sorted() } }
    /// The lengths of what is mapped into memory now.
    var mappedLengths: [Int] { state.withLock { Array($0.mapped.values) } }
    /// The calls that were made, in order.
    var calls: [String] { state.withLock { $0.calls } }

    // MARK: Kernel

    private func note(_ call: String) throws(Errno) {
        let failure = state.withLock { state -> Errno? in
            state.calls.append(call)
            guard let countdown = state.countdown else { return nil }
            state.countdown = countdown.left > 1 ? (countdown.left - 1, countdown.errno) : nil
            guard countdown.left == 1 else { return nil }
            state.hasFailed = true
            return countdown.errno
        }
        if let failure { throw failure }
    }

    func open(_ path: FilePath, _ mode: FileDescriptor.AccessMode) throws(Errno) -> FileDescriptor {
        try note("open \(path)")
        let descriptor = state.withLock { state in
            state.nodes.contains("\(path)") ? state.makeDescriptor("\(path)", size: 0) : nil
        }
        guard let descriptor else { throw .noSuchFileOrDirectory }
        return descriptor
    }

    func close(_ descriptor: FileDescriptor) throws(Errno) {
        let (wasOpen, isEvent) = state.withLock { state in
            state.calls.append("close")
            return (
                state.open.removeValue(forKey: descriptor.rawValue) != nil,
                state.events.remove(descriptor.rawValue) != nil
            )
        }
        if isEvent { return try host.close(descriptor) }
        if !wasOpen { throw .badFileDescriptor }
    }

    func duplicate(_ descriptor: FileDescriptor) throws(Errno) -> FileDescriptor {
        try note("duplicate")
        return state.withLock {
            $0.makeDescriptor(
                "copy of \($0.open[descriptor.rawValue] ?? "?")", size: $0.sizes[descriptor.rawValue] ?? 0)
        }
    }

    func size(of descriptor: FileDescriptor) throws(Errno) -> UInt64 {
        try note("size")
        return state.withLock { $0.sizes[descriptor.rawValue] ?? 0 }
    }

    func read(_ descriptor: FileDescriptor, into buffer: UnsafeMutableRawBufferPointer) throws(Errno) -> Int {
        let hook = state.withLock { $0.beforeRead.take() }
        hook?()
        if let answer = state.withLock({ $0.reads[descriptor.rawValue] }) { return try answer(buffer) }
        return try host.read(descriptor, into: buffer)
    }

    func write(_ descriptor: FileDescriptor, from buffer: UnsafeRawBufferPointer) throws(Errno) -> Int {
        if let answer = state.withLock({ $0.writes[descriptor.rawValue] }) {
            return try answer(UnsafeMutableRawBufferPointer(mutating: buffer))
        }
        return try host.write(descriptor, from: buffer)
    }

    func read(
        _ descriptor: FileDescriptor, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        let isConfig = offset / Self.regionSpacing == UInt64(CVFIO_PCI_CONFIG_REGION_INDEX)
        try note(isConfig ? "pread of config" : "pread")
        guard let access = state.withLock({ $0.readAt }) else { throw .ioError }
        return try access(offset, buffer)
    }

    func write(
        _ descriptor: FileDescriptor, at offset: UInt64, from buffer: UnsafeRawBufferPointer
    ) throws(Errno) -> Int {
        try note("pwrite")
        guard let access = state.withLock({ $0.writeAt }) else { throw .ioError }
        return try access(offset, UnsafeMutableRawBufferPointer(mutating: buffer))
    }

    func control(
        _ descriptor: FileDescriptor, _ request: UInt, _ argument: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        try note("ioctl \(request & 0xff)")
        let (answer, answerToAll) = state.withLock { ($0.answers[request], $0.answerToAll) }
        if let answer { return try answer(argument) }
        guard let answerToAll else { throw .inappropriateIOCTLForDevice }
        return try answerToAll(request, argument)
    }

    func control(_ descriptor: FileDescriptor, _ request: UInt, value: UInt) throws(Errno) -> Int {
        try note("ioctl \(request & 0xff)")
        guard let answer = state.withLock({ $0.valueAnswers[request] }) else { throw .inappropriateIOCTLForDevice }
        return try answer(value)
    }

    func map(_ request: MemoryMapRequest) throws(Errno) -> UnsafeMutableRawPointer {
        try note("mmap")
        let memory = try host.map(MemoryMapRequest(byteCount: request.byteCount, source: .anonymous(hugePageSize: nil)))
        state.withLock { $0.mapped[UInt(bitPattern: memory)] = request.byteCount }
        return memory
    }

    func unmap(_ memory: UnsafeMutableRawBufferPointer) throws(Errno) {
        state.withLock { state in
            state.calls.append("munmap")
            state.mapped[UInt(bitPattern: memory.baseAddress)] = nil
        }
        try host.unmap(memory)
    }

    func makeEvent() throws(Errno) -> FileDescriptor {
        try note("eventfd")
        let event = try host.makeEvent()
        state.withLock { state in
            state.events.insert(event.rawValue)
            state.open[event.rawValue] = "eventfd"
        }
        return event
    }

    func waitUntilReadable(_ descriptor: FileDescriptor, timeout: Int32?) throws(Errno) -> Bool {
        let isInterrupted = state.withLock { state in
            defer { state.signals = max(state.signals - 1, 0) }
            return state.signals > 0
        }
        return try isInterrupted ? false : host.waitUntilReadable(descriptor, timeout: timeout)
    }

    func send(_ descriptor: FileDescriptor, over socket: FileDescriptor) throws(Errno) { try note("sendmsg") }

    func receiveDescriptor(from socket: FileDescriptor) throws(Errno) -> FileDescriptor {
        try note("recvmsg")
        throw .noMessage
    }

    func readLink(_ path: FilePath) throws(Errno) -> FilePath {
        try note("readlink \(path)")
        guard let target = state.withLock({ $0.links["\(path)"] }) else { throw .noSuchFileOrDirectory }
        return FilePath(target)
    }

    func readFile(_ path: FilePath) throws(Errno) -> [UInt8] { throw .noSuchFileOrDirectory }

    func writeFile(_ path: FilePath, _ bytes: [UInt8]) throws(Errno) { throw .noSuchFileOrDirectory }

    func names(in folder: FilePath) throws(Errno) -> [String] {
        try note("names \(folder)")
        guard let names = state.withLock({ $0.folders["\(folder)"] }) else { throw .noSuchFileOrDirectory }
        return names
    }

    func memoryLockLimit() throws(Errno) -> UInt64? { 65536 }
}

extension ScriptedKernel.State {
    fileprivate mutating func makeDescriptor(_ name: String, size: UInt64) -> FileDescriptor {
        nextDescriptor += 1
        open[nextDescriptor] = name
        sizes[nextDescriptor] = size
        return FileDescriptor(rawValue: nextDescriptor)
    }
}
