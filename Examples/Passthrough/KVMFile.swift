import SystemPackage
import VFIO

/// A descriptor of KVM: `/dev/kvm`, a virtual machine, or a virtual processor. It is closed when this value is
/// destroyed.
struct KVMFile: ~Copyable {
    let descriptor: FileDescriptor
    let kernel: any Kernel
    private let name: String

    private init(_ descriptor: FileDescriptor, _ kernel: any Kernel, _ name: String) {
        self.descriptor = descriptor
        self.kernel = kernel
        self.name = name
    }

    deinit { try? kernel.close(descriptor) }

    /// Opens `/dev/kvm`.
    static func open(_ kernel: any Kernel) throws(VFIOError) -> KVMFile {
        do throws(Errno) {
            return KVMFile(try kernel.open("/dev/kvm", .readWrite), kernel, "/dev/kvm")
        } catch {
            throw VFIOError(
                .kernel, "open KVM", "/dev/kvm", errno: error,
                hint: "the machine needs hardware virtualisation that is switched on, and this user the right to use it"
            )
        }
    }

    /// Makes a request that returns another descriptor.
    borrowing func make(_ name: String, _ request: KVMRequest) throws(VFIOError) -> KVMFile {
        KVMFile(FileDescriptor(rawValue: Int32(try control(request))), kernel, name)
    }

    /// Makes a request without an argument.
    @discardableResult
    borrowing func control(_ request: KVMRequest) throws(VFIOError) -> Int {
        do throws(Errno) {
            return try kernel.control(descriptor, request.number, value: 0)
        } catch {
            throw failure(request, error)
        }
    }

    /// Makes a request with a C structure.
    borrowing func control<Argument>(_ request: KVMRequest, with argument: inout Argument) throws(VFIOError) {
        do throws(Errno) {
            try unsafe withUnsafeMutableBytes(of: &argument) { (bytes) throws(Errno) in
                _ = try unsafe kernel.control(descriptor, request.number, bytes)
            }
        } catch {
            throw failure(request, error)
        }
    }

    /// Maps the memory that the file shares with user space.
    borrowing func map(byteCount: Int) throws(VFIOError) -> UnsafeMutableRawBufferPointer {
        do throws(Errno) {
            let request = MemoryMapRequest(byteCount: byteCount, source: .file(descriptor, offset: 0))
            return unsafe UnsafeMutableRawBufferPointer(start: try kernel.map(request), count: byteCount)
        } catch {
            throw VFIOError(.kernel, "map KVM's file (mmap)", name, errno: error)
        }
    }

    private borrowing func failure(_ request: KVMRequest, _ errno: Errno) -> VFIOError {
        VFIOError(.kernel, "ask KVM (\(request.name))", name, errno: errno)
    }
}
