import ArgumentParser
import SystemPackage
import VFIO

struct ListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the PCI devices with their drivers and their VFIO state.",
        discussion: """
            Bridges are omitted unless --all is given. The column VFIO has the state of a device: "ready" (a program can open it), \
            "in-use" (enabled, as while a program has it open), "blocked" (bound, but another device of its group is bound to a kernel driver), "free" \
            (no driver), "kernel" (bound to a kernel driver), "unprotected" (bound, but without an IOMMU: VFIO's unsafe no-IOMMU \
            mode).
            """
    )

    @OptionGroup var machine: MachineOptions
    @OptionGroup var output: OutputOptions

    @Flag(name: .shortAndLong, help: "Include bridges.")
    var all = false
    @Option(help: ArgumentHelp("Only devices of this driver; \"none\" for no driver.", valueName: "name"))
    var driver: String?
    @Option(help: ArgumentHelp("Only devices of this IOMMU group.", valueName: "number"))
    var group: Int?
    @Option(
        name: .customLong("class"),
        help: ArgumentHelp(
            "Only devices whose class starts with these digits: 01 for storage, 0108 for NVMe.",
            valueName: "digits")) var classPrefix: String?
    @Option(
        help: ArgumentHelp(
            "Only devices with these IDs; either may be omitted: 1b36:, :0010.", valueName: "vendor:device"))
    var id: DeviceNumberFilter?
    @Argument(help: ArgumentHelp("Only these devices.", valueName: "bdf"), transform: PCIAddress.parse)
    var devices: [PCIAddress] = []

    func run() throws {
        let bus = PCIBus(kernel: machine.kernel)
        var unreadable: [VFIOError] = []
        let everything = try bus.functions { unreadable.append($0) }
        for device in devices where !everything.contains(where: { $0.address == device }) {
            // The library's error message.
            _ = try bus.function(at: device)
        }
        let functions = everything.filter(isWanted)
        let names = PCINames(for: functions)
        let rows = functions.map { DeviceRow($0, names, VFIOState(of: $0, among: everything)) }
        if output.json { try JSON.print(rows) } else { print(table(rows)) }
        // The other devices are listed all the same.
        for error in unreadable.dropLast() { try FileDescriptor.standardError.writeAll("Error: \(error)\n".utf8) }
        if let last = unreadable.last { throw last }
    }

    private func isWanted(_ function: PCIFunctionInfo) -> Bool {
        if !devices.isEmpty && !devices.contains(function.address) { return false }
        if function.isPlatformBridge && !all && devices.isEmpty { return false }
        if let driver, driver != function.driver ?? "none" { return false }
        if let group, group != function.iommuGroup { return false }
        if let classPrefix, !Hexadecimal.text(function.classCode, digits: 6).hasPrefix(classPrefix.lowercased()) {
            return false
        }
        if let id, !id.matches(function) { return false }
        return true
    }

    private func table(_ rows: [DeviceRow]) -> String {
        var table = Table("ADDRESS", "ID", "GROUP", "NUMA", "DRIVER", "VFIO", "DEVICE")
        for row in rows {
            table.add([
                row.address, "\(row.vendor):\(row.device)", row.iommuGroup.map(String.init) ?? "-",
                row.numaNode.map(String.init) ?? "-", row.driver ?? "-", row.vfio, "\(row.className): \(row.title)",
            ])
        }
        return table.lines(output.style).joined(separator: "\n")
    }
}

/// `vendor:device` in hexadecimal; either part may be omitted.
struct DeviceNumberFilter: ExpressibleByArgument {
    let vendor: UInt16?
    let device: UInt16?

    init?(argument: String) {
        let parts = argument.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0] != "" || parts[1] != "" else { return nil }
        vendor = UInt16(parts[0], radix: 16)
        device = UInt16(parts[1], radix: 16)
        if vendor == nil && parts[0] != "" || device == nil && parts[1] != "" { return nil }
    }

    func matches(_ function: PCIFunctionInfo) -> Bool {
        (vendor == nil || vendor == function.vendorID) && (device == nil || device == function.deviceID)
    }
}
