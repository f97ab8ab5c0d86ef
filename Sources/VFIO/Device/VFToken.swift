/// The secret that the user of a physical function shares with the users of its virtual functions: a UUID.
///
/// Whoever opens a virtual function whose physical function belongs to `vfio-pci` has to know it, and so has whoever opens
/// the physical function while virtual ones are in use. If none is, opening the physical function with a token sets it.
///
/// ```swift
/// let token = VFToken("bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3")!
/// let device = try Device(at: "0000:04:10.0", in: space, token: token)
/// ```
public struct VFToken: Sendable, Hashable {
    /// The 16 bytes, in the order in which a UUID is written.
    public let bytes: [UInt8]

    /// - Returns: `nil` unless there are 16 bytes.
    public init?(bytes: [UInt8]) {
        guard bytes.count == 16 else { return nil }
        self.bytes = bytes
    }

    static let missingHint =
        "it takes the token that the users of the physical function and of its virtual ones share, and this is not it"
    static let uselessHint =
        "the device takes no token: neither it nor its physical function is one with VFs of vfio-pci"
}

extension VFToken: LosslessStringConvertible {
    private static let groups = [4, 2, 2, 2, 6]

    /// Reads a UUID as it is usually written, `"bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3"`, in either case.
    public init?(_ description: String) {
        let parts = description.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.map(\.utf8.count) == Self.groups.map({ 2 * $0 }) else { return nil }
        let digits = parts.joined().compactMap(\.hexDigitValue)
        guard digits.count == 32 else { return nil }
        bytes = stride(from: 0, to: 32, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
    }

    public var description: String {
        var text = ""
        var rest = bytes[...]
        for count in Self.groups {
            if !text.isEmpty { text += "-" }
            for byte in rest.prefix(count) { text += (byte < 16 ? "0" : "") + String(byte, radix: 16) }
            rest = rest.dropFirst(count)
        }
        return text
    }
}
