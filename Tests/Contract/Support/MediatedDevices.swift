extension Bench {
    /// Where the kernel's sample driver mtty makes its devices; the kernels that lack it have no such folder.
    static let mediatedTypes: FilePath = types(of: "mtty")

    private static func types(of parent: String) -> FilePath {
        FilePath("/sys/class/mdev_bus/\(parent)/mdev_supported_types")
    }

    /// Makes a serial port for each name, runs a test with them, and removes them again. Where the kernel has no mediated
    /// devices, the test is that none can be opened.
    func withSerialPorts(
        _ uuids: [DeviceUUID], type: String = "mtty-1", sourceLocation: SourceLocation = #_sourceLocation,
        _ body: () throws -> Void
    ) throws { try withMediated(uuids, by: "mtty", type: type, sourceLocation: sourceLocation, body) }

    /// The same with the devices of any of the kernel's sample drivers.
    func withMediated(
        _ uuids: [DeviceUUID], by parent: String, type: String, sourceLocation: SourceLocation = #_sourceLocation,
        _ body: () throws -> Void
    ) throws {
        let types = Self.types(of: parent)
        guard offer.hasMediatedDevices else {
            #expect(throws: Errno.noSuchFileOrDirectory, sourceLocation: sourceLocation) {
                _ = try kernel.names(in: types)
            }
            let space = try makeSpace()
            for uuid in uuids {
                expectRefusal(.notFound, nil, sourceLocation: sourceLocation) {
                    _ = try Device(mediated: uuid, in: space)
                }
            }
            return
        }
        var made: [DeviceUUID] = []
        defer {
            for uuid in made {
                #expect(throws: Never.self, sourceLocation: sourceLocation) {
                    try kernel.writeFile(FilePath("/sys/bus/mdev/devices/\(uuid)/remove"), Array("1".utf8))
                }
            }
        }
        for uuid in uuids {
            try kernel.writeFile(types.appending(type).appending("create"), Array("\(uuid)".utf8))
            made.append(uuid)
        }
        try body()
    }
}
