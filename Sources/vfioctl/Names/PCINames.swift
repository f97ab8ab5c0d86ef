import Glibc
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
    ///
    /// The file has a million bytes, so only the sections that are wanted are looked at line by line.
    init(_ text: [UInt8], for functions: [PCIFunctionInfo]) {
        // Ended by a zero, as C wants it; the line end before it lets the first line be found like all others.
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

    /// A vendor or a base class, with what is below it.
    private struct Section {
        let title: String
        /// By their numbers, as they stand in the file.
        let entries: [String: String]

        /// - Parameters:
        ///   - heading: The beginning of its first line, with the line end before it.
        ///   - numbers: Which entries are wanted.
        init?(_ heading: String, of numbers: Set<String>, in file: [UInt8]) {
            let digits = numbers.first?.utf8.count ?? 0
            // The C library's search: the same in Swift takes a second in a debug build.
            let place: Int? = unsafe file.withUnsafeBytes { bytes in
                let text = unsafe bytes.assumingMemoryBound(to: CChar.self).baseAddress!
                return unsafe strstr(text, heading).map { found in unsafe UnsafePointer(found) - text }
            }
            guard let place else { return nil }
            var rest = file[(place + heading.utf8.count)...]
            title = String(decoding: Self.takeLine(from: &rest), as: UTF8.self)
            var entries: [String: String] = [:]
            // Comments stand in between here and there; two tabs are before the boards of the device above.
            while let first = rest.first, first == UInt8(ascii: "\t") || first == UInt8(ascii: "#") {
                let number = String(decoding: rest.dropFirst().prefix(digits), as: UTF8.self)
                let line = Self.takeLine(from: &rest)
                guard first == UInt8(ascii: "\t"), numbers.contains(number) else { continue }
                // The tab, the number, two spaces.
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
