import ArgumentParser
import VFIO

/// A region argument: `bar0` to `bar5`, `rom`, `config`, `vga`, or the index of any region.
struct RegionArgument: ExpressibleByArgument {
    let index: RegionIndex

    init?(argument: String) {
        let name = argument.lowercased()
        switch name {
        case "rom": index = .rom
        case "config": index = .config
        case "vga": index = .vga
        default:
            if name.hasPrefix("bar"), let number = Int(name.dropFirst(3)), let bar = RegionIndex.bar(number) {
                index = bar
            } else if let number = UInt32(name) {
                index = RegionIndex(rawValue: number)
            } else {
                return nil
            }
        }
    }

    /// The argument's spelling.
    static func name(of index: RegionIndex) -> String {
        switch index {
        case .rom: "rom"
        case .config: "config"
        case .vga: "vga"
        default: index.isBAR ? "bar\(index.rawValue)" : "\(index.rawValue)"
        }
    }
}

/// A number argument, decimal or, with the prefix `0x`, hexadecimal.
struct NumberArgument: ExpressibleByArgument {
    let value: UInt64

    init?(argument: String) {
        let digits = argument.lowercased()
        let value = digits.hasPrefix("0x") ? UInt64(digits.dropFirst(2), radix: 16) : UInt64(digits)
        guard let value else { return nil }
        self.value = value
    }
}

/// Ranges of a region: `START..END` with an exclusive end, several of them separated by commas, or `all`. Numbers may
/// have a suffix K, M or G.
struct ByteRangesArgument: ExpressibleByArgument {
    /// `nil` for the whole region.
    let ranges: [Range<UInt64>]?

    init?(argument: String) {
        if argument == "all" {
            ranges = nil
            return
        }
        var ranges: [Range<UInt64>] = []
        for part in argument.split(separator: ",", omittingEmptySubsequences: false) {
            guard let dots = part.firstRange(of: ".."), let start = Self.size(part[..<dots.lowerBound]),
                let end = Self.size(part[dots.upperBound...]), start < end
            else { return nil }
            ranges.append(start..<end)
        }
        self.ranges = ranges
    }

    private static func size(_ text: Substring) -> UInt64? {
        let shift: UInt64 =
            switch text.last {
            case "K", "k": 10
            case "M", "m": 20
            case "G", "g": 30
            default: 0
            }
        guard let number = NumberArgument(argument: String(shift == 0 ? text : text.dropLast())) else { return nil }
        let size = number.value.multipliedReportingOverflow(by: 1 << shift)
        return size.overflow ? nil : size.partialValue
    }
}

/// The width of an access in bits.
enum AccessWidth: Int, ExpressibleByArgument, CaseIterable {
    case bits8 = 8
    case bits16 = 16
    case bits32 = 32
    case bits64 = 64

    var byteCount: Int { rawValue / 8 }

    init?(argument: String) {
        guard let bits = Int(argument), let width = AccessWidth(rawValue: bits) else { return nil }
        self = width
    }
}
