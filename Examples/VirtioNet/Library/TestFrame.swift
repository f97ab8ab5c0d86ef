public import VFIO

/// The frame that a generator sends: UDP over IPv4 with 60 bytes, or 64 with the frame check sequence.
///
/// The payload of 18 bytes has a byte that forwarders increment, and the frame's number.
public struct TestFrame: Sendable {
    /// The length in bytes.
    public static var byteCount: Int { 60 }
    /// The offset of the byte that a forwarder increments.
    @inlinable public static var hopOffset: Int { 42 }
    /// The offset of the frame's 64-bit number.
    @inlinable public static var numberOffset: Int { 48 }

    /// Everything but the number and the checksum.
    @usableFromInline let words: [8 of UInt64]
    /// The unfolded UDP checksum of everything but the number; `nil` for frames without a checksum.
    @usableFromInline let partialSum: UInt32?

    private static let udpChecksumOffset = 40

    /// - Parameters:
    ///   - source: The address of the sending port.
    ///   - destination: The destination address.
    ///   - hasChecksum: Whether the UDP checksum is computed for each frame; otherwise it is 0, for none.
    public init(from source: MACAddress, to destination: MACAddress, hasChecksum: Bool = false) {
        // Ethernet: addresses, and the type IPv4.
        var bytes = destination.bytes + source.bytes + [0x08, 0x00]
        // IPv4: 46 bytes, do not fragment, TTL 64, UDP, from 10.0.0.1 to 10.0.0.2.
        let header: [UInt8] = [0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]
        let headerSum = ~Self.fold(Self.sum(header))
        bytes += header
        bytes[24] = UInt8(headerSum >> 8)
        bytes[25] = UInt8(truncatingIfNeeded: headerSum)
        // UDP: from port 42 to port 1337, 26 bytes.
        bytes += [0, 42, 0x05, 0x39, 0, 26, 0, 0]
        bytes += [UInt8](repeating: 0, count: 64 - bytes.count)
        // The pseudo-header: the addresses, the protocol and the length are included in the checksum.
        partialSum =
            hasChecksum ? Self.sum(Array(bytes[26..<60])) + 17 + 26 : nil
        words = [8 of UInt64] { word in
            (0..<8).reduce(UInt64(0)) { $0 | UInt64(bytes[word * 8 + $1]) << UInt64($1 * 8) }
        }
    }

    /// The sum of 16-bit words in network order.
    private static func sum(_ bytes: [UInt8]) -> UInt32 {
        stride(from: 0, to: bytes.count, by: 2).reduce(0) { $0 + UInt32(bytes[$1]) << 8 + UInt32(bytes[$1 + 1]) }
    }

    @inlinable
    static func fold(_ sum: UInt32) -> UInt16 {
        var sum = sum
        while sum > 0xffff { sum = (sum & 0xffff) &+ sum >> 16 }
        return UInt16(truncatingIfNeeded: sum)
    }

    /// Writes the frame into a packet's buffer.
    ///
    /// - Parameters:
    ///   - number: The frame's number.
    ///   - frame: The buffer, with at least ``byteCount`` bytes.
    @inlinable
    public func write(_ number: UInt64, to frame: Frame) {
        for word in 0..<6 { frame.write64(words[word], at: word &* 8) }
        frame.write64(number.bigEndian, at: Self.numberOffset)
        frame.write32(0, at: 56)
        guard let partialSum else { return }
        var sum = partialSum
        for shift in stride(from: UInt64(0), to: 64, by: 16) { sum &+= UInt32(number >> shift & 0xffff) }
        let checksum = ~Self.fold(sum)
        // 0 means no checksum.
        frame.write16((checksum == 0 ? 0xffff : checksum).bigEndian, at: 40)
    }

    /// Returns the number of a received frame; `nil` if it is not a test frame, or has been changed, except for the
    /// byte that forwarders increment.
    public func number(of frame: Frame) -> UInt64? {
        guard frame.byteCount >= Self.byteCount else { return nil }
        let changing: UInt64 = 0xff << UInt64(Self.hopOffset % 8 * 8)
        for word in 0..<6 where word != 5 {
            guard frame.read64(at: word * 8) == words[word] else { return nil }
        }
        guard (frame.read64(at: 40) ^ words[5]) & ~changing & ~0xffff == 0 else { return nil }
        guard frame.read32(at: 56) == 0 else { return nil }
        let number = UInt64(bigEndian: frame.read64(at: Self.numberOffset))
        guard partialSum != nil else { return frame.read16(at: 40) == 0 ? number : nil }
        // A forwarder does not update the checksum.
        var sum = partialSum!
        for shift in stride(from: UInt64(0), to: 64, by: 16) { sum &+= UInt32(number >> shift & 0xffff) }
        let checksum = ~Self.fold(sum)
        return UInt16(bigEndian: frame.read16(at: 40)) == (checksum == 0 ? 0xffff : checksum) ? number : nil
    }

    /// The number of times that a frame has been forwarded, modulo 256.
    public static func hops(of frame: Frame) -> UInt8 { frame.read8(at: hopOffset) }
}
