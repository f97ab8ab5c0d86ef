/// The token that a physical function and its virtual functions share, so that only who knows it can open them: a UUID.
///
/// vfio-pci asks for it when a physical function is driven by user space while its virtual functions are in use.
public struct VFToken: Sendable, Hashable {
    /// The 16 bytes, in the order of the text.
    public let bytes: [UInt8]

    /// - Parameter bytes: 16 of them; `nil` for any other number.
    public init?(bytes: [UInt8]) {
        guard bytes.count == 16 else { return nil }
        self.bytes = bytes
    }
}

extension VFToken: LosslessStringConvertible {
    /// Reads `2ab74924-c335-45f4-9b16-8569e5b08258`.
    public init?(_ description: String) {
        let groups = description.split(separator: "-", omittingEmptySubsequences: false)
        guard groups.map(\.count) == [8, 4, 4, 4, 12] else { return nil }
        let digits = groups.joined().map(\.hexDigitValue)
        guard description.utf8.count == 36, digits.allSatisfy({ $0 != nil }) else { return nil }
        bytes = stride(from: 0, to: 32, by: 2).map { UInt8(digits[$0]! << 4 | digits[$0 + 1]!) }
    }

    public var description: String {
        var text = ""
        for (index, byte) in bytes.enumerated() {
            if [4, 6, 8, 10].contains(index) { text += "-" }
            text += byte < 16 ? "0" + String(byte, radix: 16) : String(byte, radix: 16)
        }
        return text
    }
}
