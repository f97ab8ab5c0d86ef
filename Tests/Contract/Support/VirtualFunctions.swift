extension Bench {
    private static let enabled: FilePath = "/sys/module/vfio_pci/parameters/enable_sriov"

    func setVirtualFunctions(_ count: String) throws(Errno) {
        try kernel.writeFile(FilePath("/sys/bus/pci/devices/\(physicalFunction)/sriov_numvfs"), Array(count.utf8))
    }

    /// Asks for a number of virtual functions that the kernel refuses.
    func expectNoVirtualFunctions(_ count: String, _ errno: Errno, sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(throws: errno, sourceLocation: sourceLocation) { try setVirtualFunctions(count) }
    }

    /// Lets vfio-pci make virtual functions meanwhile, and takes away what was made.
    func allowingVirtualFunctions(sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Void) throws {
        try kernel.writeFile(Self.enabled, Array("Y".utf8))
        defer {
            #expect(throws: Never.self, sourceLocation: sourceLocation) {
                try setVirtualFunctions("0")
                try kernel.writeFile(Self.enabled, Array("N".utf8))
            }
        }
        try body()
    }

    /// Makes virtual functions, runs a test with their addresses, and takes them away.
    ///
    /// - Parameter token: What they are to be opened with, which the physical function is told first. That one is reset by
    ///   being opened and closed, and QEMU's then has no virtual functions any more, whatever its registers say. So it is
    ///   neither opened nor closed while they are there; older kernels wait a minute for each that is gone.
    func withVirtualFunctions(
        _ count: Int, token: VFToken, sourceLocation: SourceLocation = #_sourceLocation,
        _ body: ([PCIAddress]) throws -> Void
    ) throws {
        try Device(at: physicalFunction, in: makeSpace(), token: token).close()
        try allowingVirtualFunctions(sourceLocation: sourceLocation) { try body(try makeVirtualFunctions(count)) }
    }

    /// Makes virtual functions, and gives their addresses.
    func makeVirtualFunctions(_ count: Int) throws -> [PCIAddress] {
        try setVirtualFunctions("\(count)")
        let folder = FilePath("/sys/bus/pci/devices/\(physicalFunction)")
        return try (0..<count).map { number in
            let link = try kernel.readLink(folder.appending("virtfn\(number)"))
            return try #require(link.lastComponent.flatMap { PCIAddress($0.string) })
        }
    }
}
