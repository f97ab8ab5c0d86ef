import Glibc
import SystemPackage
import VFIO

/// The names of vendors, devices and classes, from the system's `pci.ids`.
///
/// The file is maintained by the PCI ID project and packaged by distributions (`pci.ids` in Debian). Without it,
/// numbers and the names of the base classes are used.
struct PCINames {
    private var vendors: [UInt16: String] = [:]
    private var devices: [UInt32: String] = [:]
    private var classes: [UInt32: String] = [:]

    private static let places: [FilePath] = [
        "/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids", "/usr/share/pci.ids",
    ]

    /// Reads the names that `functions` need. The file is the host's, also for a mock kernel.
    init(for functions: [PCIFunctionInfo]) {
        for place in Self.places {
            if let bytes = try? HostKernel().readFile(place) {
                self.init(bytes, for: functions)
                return
            }
        }
        self.init([], for: functions)
    }

    /// Parses `pci.ids`: lines of `VVVV  vendor`, followed by `<tab>DDDD  device`; later in the file `C CC  class`,
    /// followed by `<tab>SS  subclass`. Lines with two tabs are ignored.
    ///
    /// The file has about a million bytes, so only the needed sections are parsed line by line.
    init(_ text: [UInt8], for functions: [PCIFunctionInfo]) {
        // Zero-terminated for the C functions; the leading newline lets the first line match like all others.
        let file = [UInt8(ascii: "\n")] + text + [0]
        for vendor in Set(functions.map(\.vendorID)) {
            let wanted = functions.filter { $0.vendorID == vendor }.map { Hexadecimal.text($0.deviceID) }
            let section = Section("\n\(Hexadecimal.text(vendor))  ", of: Set(wanted), in: file)
            vendors[vendor] = section?.title
            for (number, name) in section?.entries ?? [:] {
                if let device = UInt16(number, radix: 16) { devices[UInt32(vendor) << 16 | UInt32(device)] = name }
            }
        }
        for base in Set(functions.map { $0.classCode >> 16 }) {
            let wanted = functions.map { Hexadecimal.text($0.classCode >> 8 & 0xff, digits: 2) }
            let section = Section("\nC \(Hexadecimal.text(base, digits: 2))  ", of: Set(wanted), in: file)
            classes[base << 8 | 0xffff_0000] = section?.title
            for (number, name) in section?.entries ?? [:] {
                if let subclass = UInt32(number, radix: 16) { classes[base << 8 | subclass] = name }
            }
        }
    }

    /// A vendor or a base class, with its entries.
    private struct Section {
        let title: String
        /// The names by number, as in the file.
        let entries: [String: String]

        /// - Parameters:
        ///   - heading: The start of the section's first line, with the preceding newline.
        ///   - numbers: The needed entries.
        init?(_ heading: String, of numbers: Set<String>, in file: [UInt8]) {
            let digits = numbers.first?.utf8.count ?? 0
            // strstr, because the same search in Swift takes a second in a debug build.
            let place: Int? = unsafe file.withUnsafeBytes { bytes in
                let text = unsafe bytes.assumingMemoryBound(to: CChar.self).baseAddress!
                return unsafe strstr(text, heading).map { found in unsafe UnsafePointer(found) - text }
            }
            guard let place else { return nil }
            var rest = file[(place + heading.utf8.count)...]
            title = String(decoding: Self.takeLine(from: &rest), as: UTF8.self)
            var entries: [String: String] = [:]
            // Skip comments, and lines with two tabs, which are the subsystems of the preceding device.
            while let first = rest.first, first == UInt8(ascii: "\t") || first == UInt8(ascii: "#") {
                let number = String(decoding: rest.dropFirst().prefix(digits), as: UTF8.self)
                let line = Self.takeLine(from: &rest)
                guard first == UInt8(ascii: "\t"), numbers.contains(number) else { continue }
                // A tab, the number, two spaces.
                entries[number] = String(decoding: line.dropFirst(digits + 3), as: UTF8.self)
            }
            self.entries = entries
        }

        private static func takeLine(from rest: inout ArraySlice<UInt8>) -> ArraySlice<UInt8> {
            let end = rest.firstIndex(of: UInt8(ascii: "\n")) ?? rest.endIndex
            defer { rest = rest[min(end + 1, rest.endIndex)...] }
            return rest[..<end]
        }
    }

    // MARK: Names

    func vendor(of function: PCIFunctionInfo) -> String? { vendors[function.vendorID] }
    func device(of function: PCIFunctionInfo) -> String? { devices[Self.key(function)] }

    /// The name of the class, or of the base class if the file does not list the class.
    func className(of function: PCIFunctionInfo) -> String {
        let number = function.classCode >> 8
        return classes[number] ?? classes[(number & 0xff00) | 0xffff_0000] ?? Self.baseClass(number >> 8)
    }

    /// The names of vendor and device, or numbers if the file does not list them.
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

    /// The base classes of the PCI Code and ID Assignment Specification, with short names.
    private static func baseClass(_ number: UInt32) -> String {
        switch number {
        case 0x00: "Unclassified device"
        case 0x01: "Storage controller"
        case 0x02: "Network controller"
        case 0x03: "Display controller"
        case 0x04: "Multimedia controller"
        case 0x05: "Memory controller"
        case 0x06: "Bridge"
        case 0x07: "Communication controller"
        case 0x08: "System peripheral"
        case 0x09: "Input device"
        case 0x0a: "Docking station"
        case 0x0b: "Processor"
        case 0x0c: "Serial bus controller"
        case 0x0d: "Wireless controller"
        case 0x0e: "Intelligent controller"
        case 0x0f: "Satellite communications controller"
        case 0x10: "Encryption controller"
        case 0x11: "Signal processing controller"
        case 0x12: "Processing accelerator"
        case 0x13: "Non-essential instrumentation"
        case 0x40: "Coprocessor"
        default: "Unassigned class"
        }
    }
}
