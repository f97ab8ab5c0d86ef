struct LabNetworkMachine: NetworkMachine {
    let kernel: any Kernel = HostKernel()

    var leftovers: [String] {
        let numbers = (try? kernel.names(in: "/proc/self/fd")) ?? []
        return numbers.compactMap { number in
            // One may have been closed since it was listed.
            (try? kernel.readLink(FilePath("/proc/self/fd/\(number)")))?.string
        }.filter { name in ["/dev/vfio/", "/dev/iommu", "anon_inode:[vfio"].contains { name.hasPrefix($0) } }
    }
}
