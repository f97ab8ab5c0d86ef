import SystemPackage
import VFIO

/// What the process itself shows of open devices, in `/proc/self`. Everything else in the process, such as the tests of
/// other suites, is left out.
package enum ProcessView {
    package static func now() -> [String] { (descriptors() + mappings()).sorted() }

    private static func isOurs(_ name: String) -> Bool {
        ["/dev/vfio/", "/dev/iommu", "anon_inode:[vfio", "/dmabuf:"].contains { name.hasPrefix($0) }
    }

    /// What the descriptors refer to.
    package static func descriptors() -> [String] {
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
}
