internal import CVFIOMock
internal import Glibc
internal import Synchronization
import SystemPackage
import VFIO

/// The kernel's table of descriptors, its lock, and the planned failures. Every access to it, and to all other state of
/// the machine, requires the lock.
final class Core {
    /// A failure that a test has planned.
    struct FailurePlan {
        let call: MockCall
        let errno: Errno
        let request: UInt?
        /// The number of matching calls that still pass.
        var skipping: Int
        /// The number of calls that then fail.
        var count: Int

        /// Counts a call and returns whether it fails.
        mutating func takes(_ call: MockCall, request: UInt?) -> Bool {
            guard call == self.call, self.request == nil || self.request == request, count > 0 else { return false }
            if skipping > 0 {
                skipping -= 1
                return false
            }
            count -= 1
            return true
        }
    }

    let lock = Mutex(())
    let host = HostKernel()
    var plans: [FailurePlan] = []
    var isRecording = false
    var records: [MockCallRecord] = []
    private var files: [OpenFile.Identity: OpenFile] = [:]
    /// By descriptor number. A number that the process closed and reused without the seam stays until the next call on
    /// it.
    private var table: [OpenFile?] = []
    private var openCount = 0
    private(set) var identityLookupCount = 0
    private var watchers: [ObjectIdentifier: any EventWatcher] = [:]

    // MARK: Calls

    /// Starts a call: records it, serves the eventfds, and throws a planned failure.
    func begin(_ call: MockCall, request: UInt? = nil) throws(Errno) {
        if isRecording { records.append(MockCallRecord(call, request: request)) }
        serveEvents()
        guard !plans.isEmpty else { return }
        var failure: Errno?
        for index in plans.indices where failure == nil {
            if plans[index].takes(call, request: request) { failure = plans[index].errno }
        }
        plans.removeAll { $0.count == 0 }
        if let failure { throw failure }
    }

    /// Starts or stops serving a watcher's eventfds at the start of each call.
    func setWatching(_ watcher: any EventWatcher, _ isOn: Bool) {
        watchers[ObjectIdentifier(watcher)] = isOn ? watcher : nil
    }

    /// Serves the eventfds that the kernel waits for. Linux is woken by them; the mock polls them at each call.
    func serveEvents() { for watcher in watchers.values { watcher.serveEvents() } }

    // MARK: Descriptors

    /// The open files in the order of their opening.
    var openFiles: [OpenFile] { files.values.sorted { $0.number < $1.number } }

    /// Opens a file for the process.
    ///
    /// - Parameter byteCount: Its size by `fstat`.
    func open(
        _ operations: some FileOperations, byteCount: UInt64 = 0, flags: Int32 = O_RDWR
    ) throws(Errno) -> FileDescriptor {
        let number: Int32
        if let readiness = operations.readiness {
            var writer: Int32 = -1
            number = unsafe cmock_pipe(&writer)
            if number >= 0 { readiness.open(reader: number, writer: writer) }
        } else {
            number = unsafe "vfio-mock".withCString { unsafe cmock_memory_file($0, byteCount) }
        }
        guard number >= 0 else { throw Errno(rawValue: -number) }
        guard let identity = identity(number) else {
            operations.readiness?.close()
            try host.close(FileDescriptor(rawValue: number))
            throw .badFileDescriptor
        }
        let file = OpenFile(operations, identity, number: openCount, self)
        file.statusFlags = flags
        openCount += 1
        files[identity] = file
        register(number, file)
        operations.opened(as: file)
        return FileDescriptor(rawValue: number)
    }

    /// Asks the host which file a descriptor refers to: the one system call of a look-up.
    private func identity(_ number: Int32) -> OpenFile.Identity? {
        identityLookupCount += 1
        var (device, inode): (UInt64, UInt64) = (0, 0)
        guard unsafe cmock_file_identity(number, &device, &inode) == 0 else { return nil }
        return OpenFile.Identity(device: device, inode: inode)
    }

    /// The mock's open file that a descriptor refers to; `nil` for other descriptors. A known descriptor costs no
    /// system call.
    func file(_ descriptor: FileDescriptor) -> OpenFile? {
        let number = Int(descriptor.rawValue)
        if table.indices.contains(number), let file = table[number] { return file }
        guard !files.isEmpty, let identity = identity(descriptor.rawValue), let file = files[identity] else {
            return nil
        }
        // It was duplicated or received without the seam: dup(2), recvmsg(2).
        if file.inFlight > 0 { file.inFlight -= 1 }
        register(descriptor.rawValue, file)
        return file
    }

    /// The open file of a descriptor, if it is of a type. `EBADF` for a number that is no descriptor of the process.
    func file<Operations>(
        _ number: Int32, as type: Operations.Type
    ) throws(Errno) -> (file: OpenFile, operations: Operations)? {
        // The numbers inside requests may come from code that closes and reuses them without the seam.
        if table.indices.contains(Int(number)), let known = table[Int(number)], identity(number) != known.identity {
            forget(number)
        }
        let descriptor = FileDescriptor(rawValue: number)
        guard let file = file(descriptor) else {
            try host.close(try host.duplicate(descriptor))
            return nil
        }
        return (file.operations as? Operations).map { (file, $0) }
    }

    func register(_ number: Int32, _ file: OpenFile) {
        forget(number)
        while table.count <= number { table.append(nil) }
        table[Int(number)] = file
        file.descriptors.insert(number)
    }

    /// Drops a number that no longer refers to a file of the mock's.
    func forget(_ number: Int32) {
        guard table.indices.contains(Int(number)), let file = table[Int(number)] else { return }
        table[Int(number)] = nil
        file.descriptors.remove(number)
        releaseIfUnused(file)
    }

    /// Closes all descriptors, as at the end of the process.
    func exit() {
        for file in openFiles {
            file.inFlight = 0
            let numbers = file.descriptors
            file.descriptors = []
            for number in numbers { table[Int(number)] = nil }
            releaseIfUnused(file)
        }
    }

    func releaseIfUnused(_ file: OpenFile) {
        guard file.referenceCount == 0, files.removeValue(forKey: file.identity) != nil else { return }
        file.operations.readiness?.close()
        file.operations.release()
    }
}
