import Glibc

/// The kernel that the tests run on, with the lab's devices bound to `vfio-pci`. Its faults are in the kernel's log.
final class LabMachine: ContractMachine {
    let kernel: any Kernel = HostKernel()
    private let log: FileDescriptor

    /// The name of the lab's kernel, when the tests run in the lab.
    static var name: String? { getenv("SWIFT_VFIO_LAB").map { String(cString: $0) } }

    init() throws {
        log = try FileDescriptor.open("/dev/kmsg", .readOnly, options: [.nonBlocking, .closeOnExec])
        // From here on: what earlier tests provoked is theirs.
        try log.seek(offset: 0, from: .end)
        remembered = FaultMemory()
    }

    deinit { try? log.close() }

    private let remembered: FaultMemory

    /// CONFIG_IOMMUFD_TEST, which only the lab's own configuration has.
    var makesUpDevices: Bool { Self.name == "iommufd" }

    /// Tells the port in front of the device another bus number, so that it passes no access on.
    func setAnswering(_ isAnswering: Bool, at device: PCIAddress) throws {
        let folder = try kernel.readLink(FilePath("/sys/bus/pci/devices/\(device)"))
        let port = folder.removingLastComponent().lastComponent!
        let config = try FileDescriptor.open(FilePath("/sys/bus/pci/devices/\(port)/config"), .readWrite)
        let bus = isAnswering ? device.bus : 0x7f
        // The secondary and the subordinate bus.
        try config.closeAfter { _ = try config.writeAll(toAbsoluteOffset: 0x19, [bus, bus]) }
    }

    func faults() throws -> Set<Fault> {
        var record = [UInt8](repeating: 0, count: 8192)
        while true {
            do {
                // Each read gives one message.
                let count = try record.withUnsafeMutableBytes { try log.read(into: $0) }
                if let fault = Self.fault(in: String(decoding: record[..<count], as: UTF8.self)) {
                    remembered.insert(fault)
                }
            } catch Errno.resourceTemporarilyUnavailable { return remembered.all } catch Errno.brokenPipe {
                // Messages were overwritten before they were read; the next read gives the oldest that is left.
                continue
            }
        }
    }

    /// Reads `DMAR: [DMA Read NO_PASID] Request device [0000:00:02.0] fault addr 0x2000 [fault reason 0x06] …`, in which
    /// older kernels leave out the domain.
    static func fault(in line: String) -> Fault? {
        let pattern = /DMAR: \[DMA (Read|Write)[^\]]*\] Request device \[([0-9a-f:.]+)\] fault addr (?:0x)?([0-9a-f]+)/
        guard let match = line.firstMatch(of: pattern), let device = PCIAddress(String(match.2)),
            let address = UInt64(match.3, radix: 16)
        else { return nil }
        return Fault(match.1 == "Read" ? .read : .write, at: IOVA(address), by: device)
    }
}
