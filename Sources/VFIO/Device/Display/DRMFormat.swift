/// A pixel format, by its four characters in DRM (`drm_fourcc.h`).
public struct DRMFormat: RawRepresentable, Sendable, Hashable {
    /// The characters, the first one in the lowest byte.
    public let rawValue: UInt32

    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `XR24`: 32 bits, of which the lowest byte is blue, then green, then red; the highest is unused.
    public static var xrgb8888: DRMFormat { DRMFormat(rawValue: 0x3432_5258) }
    /// `AR24`: the same, with opacity in the highest byte.
    public static var argb8888: DRMFormat { DRMFormat(rawValue: 0x3432_5241) }
}

extension DRMFormat: CustomStringConvertible {
    /// The four characters: `XR24`. Unprintable ones are shown as a question mark.
    public var description: String {
        let characters = (0..<4).map { index in
            let byte = UInt8(truncatingIfNeeded: rawValue >> UInt32(index * 8))
            return (0x20..<0x7f).contains(byte) ? Character(Unicode.Scalar(byte)) : "?"
        }
        return String(characters)
    }
}
