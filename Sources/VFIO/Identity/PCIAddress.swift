/// The address of a PCI function: domain, bus, device and function, as in `0000:00:04.0`.
///
/// A malformed literal traps; for text from outside use ``init(_:)``, which returns `nil` if the text is not an
/// address.
public struct PCIAddress: Sendable, Hashable {
    /// The PCI segment, 0 on most machines. 32 bits wide, since some bridges create domains above 0xffff.
    public let domain: UInt32
    /// The bus number, 0…255.
    public let bus: UInt8
    /// The device number on its bus, 0…31.
    public let device: UInt8
    /// The function number in its device, 0…7.
    public let function: UInt8

    /// Creates an address from its parts; `nil` if the device is above 31 or the function above 7.
    public init?(domain: UInt32 = 0, bus: UInt8, device: UInt8, function: UInt8) {
        guard device < 32, function < 8 else { return nil }
        self.domain = domain
        self.bus = bus
        self.device = device
        self.function = function
    }
}

extension PCIAddress: LosslessStringConvertible {
    /// Parses `DDDD:BB:DD.F` in hexadecimal; in the form `BB:DD.F` the domain is 0.
    public init?(_ description: String) {
        let halves = description.split(separator: ".", omittingEmptySubsequences: false)
        guard halves.count == 2, let function = Self.hexadecimal(halves[1], digits: 1...1) else { return nil }
        var parts = halves[0].split(separator: ":", omittingEmptySubsequences: false)[...]
        var domain: UInt32 = 0
        if parts.count == 3 {
            guard let value = Self.hexadecimal(parts.removeFirst(), digits: 4...8) else { return nil }
            domain = value
        }
        guard parts.count == 2,
            let bus = Self.hexadecimal(parts[parts.startIndex], digits: 2...2),
            let device = Self.hexadecimal(parts[parts.startIndex + 1], digits: 2...2)
        else { return nil }
        self.init(domain: domain, bus: UInt8(bus), device: UInt8(device), function: UInt8(function))
    }

    /// The kernel's form: `0000:00:04.0`.
    public var description: String {
        // Used in every sysfs path and error of a device, so it builds no intermediate strings.
        var text: [UInt8] = []
        text.reserveCapacity(16)
        func append(_ value: UInt32, digits: Int) {
            for place in (0..<digits).reversed() {
                let digit = UInt8(truncatingIfNeeded: value >> UInt32(4 * place)) & 0xf
                text.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
            }
        }
        append(domain, digits: max(4, (35 - domain.leadingZeroBitCount) / 4))
        text.append(UInt8(ascii: ":"))
        append(UInt32(bus), digits: 2)
        text.append(UInt8(ascii: ":"))
        append(UInt32(device), digits: 2)
        text.append(UInt8(ascii: "."))
        append(UInt32(function), digits: 1)
        return String(decoding: text, as: UTF8.self)
    }

    // UInt32(_:radix:) would accept a sign.
    private static func hexadecimal(_ text: Substring, digits: ClosedRange<Int>) -> UInt32? {
        guard digits.contains(text.count), text.allSatisfy(\.isHexDigit) else { return nil }
        return UInt32(text, radix: 16)
    }
}

extension PCIAddress: ExpressibleByStringLiteral {
    public init(stringLiteral value: StaticString) {
        guard let address = PCIAddress("\(value)") else {
            preconditionFailure("\"\(value)\" is no PCI address; one looks like \"0000:00:04.0\"")
        }
        self = address
    }
}

extension PCIAddress: Comparable {
    public static func < (left: PCIAddress, right: PCIAddress) -> Bool {
        (left.domain, left.bus, left.device, left.function) < (right.domain, right.bus, right.device, right.function)
    }
}
