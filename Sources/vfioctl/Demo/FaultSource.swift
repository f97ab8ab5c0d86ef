import Glibc
import SystemPackage
import VFIO
import VFIOMock

/// A source of IOMMU fault reports for the demo.
protocol FaultSource {
    /// Discards the faults reported so far.
    func mark()
    /// A sentence about the faults of a device since the last ``mark()``.
    func describe(of device: DeviceAddress) -> String
}

/// The faults recorded by the mock kernel.
final class MockFaults: FaultSource {
    private let machine: MockMachine
    private var known = 0

    init(_ machine: MockMachine) { self.machine = machine }

    func mark() { known = machine.faults.count }

    func describe(of device: DeviceAddress) -> String {
        guard let fault = machine.faults.dropFirst(known).first else { return "The mock IOMMU has recorded no fault." }
        return "The mock IOMMU has recorded its fault: \(fault)"
    }
}

/// The IOMMU faults in the kernel log (`/dev/kmsg`), if the user may read it.
final class KernelLog: FaultSource {
    private let log: FileDescriptor?

    init() {
        log = try? FileDescriptor.open(FilePath("/dev/kmsg"), .readOnly, options: [.nonBlocking, .closeOnExec])
        // Skip older messages.
        _ = try? log?.seek(offset: 0, from: .end)
    }

    deinit { try? log?.close() }

    func mark() { _ = lines() }

    func describe(of device: DeviceAddress) -> String {
        guard log != nil else { return "The IOMMU's fault is in the kernel log, which this user may not read." }
        // Linux 6.1 prints the address without its domain.
        let names = [device.description, String(device.description.dropFirst(5))]
        for _ in 0..<20 {
            let fault = lines().last { line in
                line.contains("fault addr") && names.contains { line.contains("[\($0)]") }
            }
            if let fault { return "The kernel's log has the IOMMU fault: \(fault)" }
            usleep(50_000)
        }
        return "No fault of an Intel IOMMU appeared in the kernel's log; other IOMMUs word it differently."
    }

    /// The messages since the last call. Each read of `/dev/kmsg` returns one record: a prefix, a semicolon, and the
    /// message.
    private func lines() -> [String] {
        guard let log else { return [] }
        var lines: [String] = []
        var record = [UInt8](repeating: 0, count: 8192)
        while true {
            let count: Int
            do {
                count = try unsafe record.withUnsafeMutableBytes { try unsafe log.read(into: $0) }
            } catch Errno.brokenPipe {
                // EPIPE: records were overwritten before they were read. The next read continues after them.
                continue
            } catch { return lines }
            let text = String(decoding: record[..<count], as: UTF8.self)
            if let message = text.split(separator: ";", maxSplits: 1).last?.split(separator: "\n").first {
                lines.append(String(message))
            }
        }
        return lines
    }
}
