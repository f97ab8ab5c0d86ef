import Glibc

extension FileDescriptor {
    /// A file in memory, without a name. The caller closes it.
    static func inMemory(byteCount: Int) throws -> FileDescriptor {
        let path = FilePath("/dev/shm/swift-vfio-test-\(getpid())")
        let file = try FileDescriptor.open(
            path, .readWrite, options: [.create, .truncate, .closeOnExec], permissions: .ownerReadWrite)
        try #require(unlink(path.string) == 0)
        try #require(ftruncate(file.rawValue, byteCount) == 0)
        return file
    }
}
