/// What the process itself shows of open devices, in `/proc/self`. Everything else in the process, such as the tests of
/// other suites, is left out.
enum ProcessView {
    static func now() -> [String] { (descriptors() + mappings()).sorted() }

    private static func isOurs(_ name: String) -> Bool {
        ["/dev/vfio/", "/dev/iommu", "anon_inode:[vfio", "/dmabuf:"].contains { name.hasPrefix($0) }
    }

    /// What the descriptors refer to.
    static func descriptors() -> [String] {
        let kernel = HostKernel()
        let numbers = (try? kernel.names(in: "/proc/self/fd")) ?? []
        return numbers.compactMap { number in
            // One may have been closed since it was listed.
            (try? kernel.readLink(FilePath("/proc/self/fd/\(number)")))?.string
        }.filter(isOurs)
    }

    /// What is mapped.
    private static func mappings() -> [String] {
        let text = String(decoding: (try? HostKernel().readFile("/proc/self/maps")) ?? [], as: UTF8.self)
        return text.split(separator: "\n").compactMap { line in
            line.split(separator: " ", maxSplits: 5, omittingEmptySubsequences: true).dropFirst(5).first.map(
                String.init)
        }.filter(isOurs)
    }

    static func expectSame(as before: [String], _ sourceLocation: SourceLocation) {
        #expect((try? eventually { now() == before }) == true, "open now: \(now())", sourceLocation: sourceLocation)
    }
}

/// Looks at the process when it begins and when it ends, and expects the same.
final class ProcessWatch: Sendable {
    private let before = ProcessView.now()
    let sourceLocation: SourceLocation

    init(_ sourceLocation: SourceLocation) { self.sourceLocation = sourceLocation }

    deinit { ProcessView.expectSame(as: before, sourceLocation) }
}
