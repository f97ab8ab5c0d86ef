public import VFIO

extension VolatileMemory where Self: ~Copyable & ~Escapable {
    /// Writes a text with a terminating zero.
    public func write(_ text: String, at offset: Int = 0) { copy(Array(text.utf8) + [0], to: offset) }

    /// Returns the zero-terminated text, of at most 64 bytes, in quotes.
    public func text(at offset: Int = 0) -> String {
        let bytes = bytes(at: offset, count: 64).prefix { $0 != 0 }
        return "\"\(String(decoding: bytes, as: UTF8.self))\""
    }
}
