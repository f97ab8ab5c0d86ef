/// The name of a mediated device: a UUID, as in `bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3`.
///
/// The UUID is chosen when the device is created, by a write to the `create` file of a type of the parent device:
/// `/sys/class/mdev_bus/PARENT/mdev_supported_types/TYPE/create`.
///
/// A malformed literal traps; for text from outside use ``init(_:)``, which returns `nil` if the text is not a UUID.
public struct DeviceUUID: Sendable, Hashable {
    private let high: UInt64
    private let low: UInt64

    /// Creates a UUID from its 16 bytes, in the order of the text; `nil` for another number of bytes.
    public init?(bytes: some Collection<UInt8>) {
        guard bytes.count == 16 else { return nil }
        let words = bytes.reduce(into: (high: UInt64(0), low: UInt64(0))) { words, byte in
            words.high = words.high << 8 | words.low >> 56
            words.low = words.low << 8 | UInt64(byte)
        }
        high = words.high
        low = words.low
    }

    /// The 16 bytes, in the order of the text.
    public var bytes: [UInt8] {
        [high, low].flatMap { word in
            (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64(56 - 8 * $0)) }
        }
    }
}

extension DeviceUUID: LosslessStringConvertible {
    /// The positions of the hyphens, in characters from the start.
    private static let hyphens: Set<Int> = [8, 13, 18, 23]

    /// Parses 32 hexadecimal digits of either case, with hyphens after the 8th, 12th, 16th and 20th.
    public init?(_ description: String) {
        let characters = Array(description.utf8)
        guard characters.count == 36 else { return nil }
        var digits: [UInt8] = []
        for (position, character) in characters.enumerated() {
            if Self.hyphens.contains(position) {
                guard character == UInt8(ascii: "-") else { return nil }
                continue
            }
            switch character {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digits.append(character - UInt8(ascii: "0"))
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digits.append(character - UInt8(ascii: "a") + 10)
            case UInt8(ascii: "A")...UInt8(ascii: "F"): digits.append(character - UInt8(ascii: "A") + 10)
            default: return nil
            }
        }
        self.init(bytes: stride(from: 0, to: 32, by: 2).map { digits[$0] << 4 | digits[$0 + 1] })
    }

    /// The kernel's form, in lower case.
    public var description: String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for byte in bytes {
            if Self.hyphens.contains(text.count) { text.append(UInt8(ascii: "-")) }
            text += [digits[Int(byte >> 4)], digits[Int(byte & 0xf)]]
        }
        return String(decoding: text, as: UTF8.self)
    }
}

extension DeviceUUID: ExpressibleByStringLiteral {
    public init(stringLiteral value: StaticString) {
        guard let uuid = DeviceUUID("\(value)") else {
            preconditionFailure("\"\(value)\" is no UUID; one looks like \"bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3\"")
        }
        self = uuid
    }
}
