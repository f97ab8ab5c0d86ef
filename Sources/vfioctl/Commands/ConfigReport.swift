import VFIO

/// The output of `config`; its fields are those of the JSON.
struct ConfigReport: Encodable {
    struct Capability: Encodable {
        let offset: String
        let id: String
        let name: String
        /// The decoded fields, in output order.
        let details: [String]
    }

    let vendor: String
    let device: String
    let subsystemVendor: String
    let subsystem: String
    let classCode: String
    let revision: String
    let command: [String]
    let status: String
    let baseAddresses: [String]
    let capabilities: [Capability]
    let extendedCapabilities: [Capability]

    init(_ device: borrowing Device) throws(VFIOError) {
        let config = device.config
        vendor = Hexadecimal.text(try config.vendorID())
        self.device = Hexadecimal.text(try config.deviceID())
        subsystemVendor = Hexadecimal.text(try config.subsystemVendorID())
        subsystem = Hexadecimal.text(try config.subsystemID())
        classCode = Hexadecimal.text(try config.classCode(), digits: 6)
        revision = Hexadecimal.text(try config.revisionID())
        command = Self.names(try config.command())
        status = "0x" + Hexadecimal.text(try config.status())
        baseAddresses = try Self.baseAddresses(device)
        capabilities = try config.capabilities().map { (capability) throws(VFIOError) in
            Capability(
                offset: "0x" + Hexadecimal.text(capability.offset, digits: 2),
                id: "0x" + Hexadecimal.text(capability.id.rawValue), name: Self.name(capability.id),
                details: try Self.details(capability.id, config))
        }
        extendedCapabilities = try config.extendedCapabilities().map { (capability) throws(VFIOError) in
            Capability(
                offset: "0x" + Hexadecimal.text(capability.offset, digits: 3),
                id: "0x" + Hexadecimal.text(capability.id.rawValue), name: Self.name(capability.id),
                details: try Self.details(capability.id, config))
        }
    }

    // MARK: Header

    private static func names(_ command: PCICommand) -> [String] {
        let all: [(PCICommand, String)] = [
            (.ioDecode, "io decode"), (.memoryDecode, "memory decode"), (.busMaster, "bus master"),
            (.parityErrorResponse, "parity error response"), (.systemErrorEnable, "SERR"),
            (.interruptDisable, "INTx off"),
        ]
        return all.filter { command.contains($0.0) }.map(\.1)
    }

    private static func baseAddresses(_ device: borrowing Device) throws(VFIOError) -> [String] {
        var lines: [String] = []
        var number = 0
        while number < 6 {
            let base = try device.config.baseAddress(number)
            let size = try device.region(RegionIndex(rawValue: UInt32(number))).byteCount
            if size > 0 {
                var kind = base.isIO ? "I/O" : base.is64Bit ? "64-bit memory" : "32-bit memory"
                if base.isPrefetchable { kind += ", prefetchable" }
                lines.append(
                    "BAR \(number) at 0x\(String(base.address, radix: 16)), \(DeviceReport.size(size)), \(kind)")
            }
            number += base.is64Bit ? 2 : 1
        }
        return lines
    }

    // MARK: Capabilities

    private static func name(_ id: PCICapability.ID) -> String {
        switch id {
        case .powerManagement: "power management"
        case .msi: "MSI"
        case .vendorSpecific: "vendor specific"
        case .pciExpress: "PCI Express"
        case .msix: "MSI-X"
        case .advancedFeatures: "advanced features"
        default: "capability 0x\(Hexadecimal.text(id.rawValue))"
        }
    }

    private static func name(_ id: PCIExtendedCapability.ID) -> String {
        switch id {
        case .advancedErrorReporting: "advanced error reporting"
        case .vendorSpecific: "vendor specific"
        case .accessControlServices: "access control services (ACS)"
        case .alternativeRouting: "alternative routing (ARI)"
        case .addressTranslationServices: "address translation services (ATS)"
        case .singleRootIOVirtualization: "single root I/O virtualization (SR-IOV)"
        case .resizableBAR: "resizable BARs"
        case .pageRequestInterface: "page request interface (PRI)"
        case .processAddressSpaces: "process address spaces (PASID)"
        default: "extended capability 0x\(Hexadecimal.text(id.rawValue))"
        }
    }

    private static func details(_ id: PCICapability.ID, _ config: ConfigSpace) throws(VFIOError) -> [String] {
        switch id {
        case .powerManagement:
            guard let power = try config.powerManagement() else { return [] }
            return ["D\(power.state)", power.keepsStateInD3hot ? "keeps its state in D3hot" : "is reset by D3hot"]
        case .msi:
            guard let msi = try config.msi() else { return [] }
            return [
                "\(msi.vectorCount) vectors", msi.isEnabled ? "\(msi.enabledVectorCount) on" : "off",
                msi.is64Bit ? "64-bit" : "32-bit",
            ] + (msi.hasMask ? ["maskable"] : [])
        case .msix:
            guard let msix = try config.msix() else { return [] }
            return [
                "\(msix.vectorCount) vectors", msix.isEnabled ? "on" : "off",
                "table in BAR \(msix.table.bar) at 0x\(String(msix.table.offset, radix: 16))",
                "pending bits in BAR \(msix.pendingBits.bar) at 0x\(String(msix.pendingBits.offset, radix: 16))",
            ]
        case .pciExpress:
            guard let express = try config.pciExpress() else { return [] }
            return [
                "version \(express.version)", "payload \(express.payload) of \(express.largestSupportedPayload) bytes",
                "read request \(express.readRequest) bytes",
                "link x\(express.linkWidth), generation \(express.linkSpeed)", express.supportsFLR ? "FLR" : "no FLR",
            ]
        default: return []
        }
    }

    private static func details(_ id: PCIExtendedCapability.ID, _ config: ConfigSpace) throws(VFIOError) -> [String] {
        switch id {
        case .addressTranslationServices:
            guard let translation = try config.addressTranslation() else { return [] }
            return [translation.isEnabled ? "on" : "off", "queue of \(translation.invalidationQueueDepth)"]
        case .singleRootIOVirtualization:
            guard let iov = try config.singleRootIOV() else { return [] }
            return [
                "\(iov.virtualFunctions) of \(iov.totalVirtualFunctions) virtual functions",
                iov.isEnabled ? "on" : "off",
            ]
        case .resizableBAR:
            return try config.resizableBARs()?.entries.map { "BAR \($0.bar): \($0.size >> 20) MiB" } ?? []
        case .accessControlServices:
            guard let control = try config.accessControl() else { return [] }
            return [
                "supports 0x\(Hexadecimal.text(control.supported.rawValue))",
                "on 0x\(Hexadecimal.text(control.enabled.rawValue))",
            ]
        default: return []
        }
    }

    // MARK: For people

    func lines(_ style: Style) -> [String] {
        var lines = [
            "\(style.paint("\(vendor):\(device)", .bold))  class \(classCode), revision \(revision), subsystem "
                + "\(subsystemVendor):\(subsystem)",
            "command      " + (command.isEmpty ? "none" : command.joined(separator: ", ")), "status       \(status)",
        ]
        lines += baseAddresses.map { "             \($0)" }
        for capability in capabilities + extendedCapabilities {
            lines.append(
                "[\(capability.offset.dropFirst(2))] \(style.paint(capability.name, .bold))"
                    + (capability.details.isEmpty ? "" : ": \(capability.details.joined(separator: ", "))"))
        }
        return lines
    }
}
