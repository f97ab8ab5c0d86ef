import SystemPackage
import VFIO

/// The names of vendors, devices and classes, from the system's `pci.ids`.
///
/// The file is that of the PCI ID project, which distributions keep up to date (Debian's package `pci.ids`). Without it there are
/// numbers, and the names of the base classes.
struct PCINames {
    private var vendors: [UInt16: String] = [:]
    private var devices: [UInt32: String] = [:]
    private var classes: [UInt32: String] = [:]

    private static let places: [FilePath] = [
        "/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids", "/usr/share/pci.ids",
    ]

    /// Reads the names that `functions` need. The file is the host's, whichever kernel is looked at.
    init(for functions: [PCIFunctionInfo]) {
        for place in Self.places {
            if let bytes = try? HostKernel().readFile(place) {
                self.init(bytes, for: functions)
                return
            }
        }
        self.init([], for: functions)
    }

    /// Reads the format of `pci.ids`: lines of `VVVV  vendor`, below them `<tab>DDDD  device`, further down `C CC  class`,
    /// `<tab>SS  subclass`. Two tabs stand before what we do not need.
    init(_ file: [UInt8], for functions: [PCIFunctionInfo]) {
        let wantedVendors = Set(functions.map(\.vendorID))
        let wantedDevices = Set(functions.map(Self.key))
        var vendor: UInt16?
        var baseClass: UInt32?
        for line in file.split(separator: UInt8(ascii: "\n")) {
            switch line.first {
            case UInt8(ascii: "#"): continue
            case UInt8(ascii: "\t"):
                let entry = line.dropFirst()
                if entry.first == UInt8(ascii: "\t") { continue }
                if let vendor, let number: UInt16 = Self.number(entry, digits: 4) {
                    let key = UInt32(vendor) << 16 | UInt32(number)
                    if wantedDevices.contains(key) { devices[key] = Self.name(entry, after: 4) }
                } else if let baseClass, let number: UInt32 = Self.number(entry, digits: 2) {
                    classes[baseClass << 8 | number] = Self.name(entry, after: 2)
                }
            case UInt8(ascii: "C") where line.dropFirst().first == UInt8(ascii: " "):
                vendor = nil
                baseClass = Self.number(line.dropFirst(2), digits: 2)
                if let baseClass { classes[baseClass << 8 | 0xffff_0000] = Self.name(line.dropFirst(2), after: 2) }
            default:
                baseClass = nil
                vendor = Self.number(line, digits: 4).flatMap { wantedVendors.contains($0) ? $0 : nil }
                if let vendor { vendors[vendor] = Self.name(line, after: 4) }
            }
        }
    }

    // MARK: Names

    func vendor(of function: PCIFunctionInfo) -> String? { vendors[function.vendorID] }
    func device(of function: PCIFunctionInfo) -> String? { devices[Self.key(function)] }

    /// The name of the class, or of the base class when the file does not know the class.
    func className(of function: PCIFunctionInfo) -> String {
        let number = function.classCode >> 8
        return classes[number] ?? classes[(number & 0xff00) | 0xffff_0000] ?? Self.baseClass(number >> 8)
    }

    /// Vendor and device in words, or in numbers where there are none.
    func title(of function: PCIFunctionInfo) -> String {
        switch (vendor(of: function), device(of: function)) {
        case (let vendor?, let device?): "\(vendor) \(device)"
        case (let vendor?, nil): "\(vendor) \(Hexadecimal.text(function.deviceID))"
        default: "\(Hexadecimal.text(function.vendorID)):\(Hexadecimal.text(function.deviceID))"
        }
    }

    // MARK: -

    private static func key(_ function: PCIFunctionInfo) -> UInt32 {
        UInt32(function.vendorID) << 16 | UInt32(function.deviceID)
    }

    private static func number<Number: FixedWidthInteger>(_ text: ArraySlice<UInt8>, digits: Int) -> Number? {
        guard text.dropFirst(digits).first == UInt8(ascii: " ") else { return nil }
        return Number(String(decoding: text.prefix(digits), as: UTF8.self), radix: 16)
    }

    private static func name(_ text: ArraySlice<UInt8>, after digits: Int) -> String {
        String(decoding: text.dropFirst(digits).drop { $0 == UInt8(ascii: " ") }, as: UTF8.self)
    }

    /// The base classes of the PCI Code and ID Assignment Specification, in short.
    private static func baseClass(_ number: UInt32) -> String {
        switch number {
        case 0x01: "Storage controller"
        case 0x02: "Network controller"
        case 0x03: "Display controller"
        case 0x04: "Multimedia controller"
        case 0x05: "Memory controller"
        case 0x06: "Bridge"
        case 0x07: "Communication controller"
        case 0x08: "System peripheral"
        case 0x09: "Input device"
        case 0x0b: "Processor"
        case 0x0c: "Serial bus controller"
        case 0x0d: "Wireless controller"
        case 0x10: "Encryption controller"
        case 0x11: "Signal processing controller"
        case 0x12: "Processing accelerator"
        default: "Unassigned class"
        }
    }
}
