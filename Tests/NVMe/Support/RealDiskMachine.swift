import SystemPackage

/// The machine of the lab.
struct RealDiskMachine: DiskMachine {
    let kernel: any Kernel = HostKernel()
    private let before = Self.openFiles()

    func expectNothingLeft(_ sourceLocation: SourceLocation) {
        let now = Self.openFiles()
        #expect(now == before, sourceLocation: sourceLocation)
    }

    /// What the process has open of devices, and mapped of them.
    private static func openFiles() -> [String] {
        let kernel = HostKernel()
        let numbers = (try? kernel.names(in: "/proc/self/fd")) ?? []
        // One may have been closed since it was listed.
        let files = numbers.compactMap { (try? kernel.readLink(FilePath("/proc/self/fd/\($0)")))?.string }
        let maps = String(decoding: (try? kernel.readFile("/proc/self/maps")) ?? [], as: UTF8.self)
        let mapped = maps.split(separator: "\n").compactMap { line in
            line.split(separator: " ", maxSplits: 5).dropFirst(5).first.map { String($0.drop { $0 == " " }) }
        }
        return (files + mapped).filter { name in
            ["/dev/vfio/", "/dev/iommu", "anon_inode:[vfio", "/dmabuf:"].contains { name.hasPrefix($0) }
        }.sorted()
    }
}
