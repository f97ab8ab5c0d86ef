/// The memory of one ioctl structure with a tail of variable length, zeroed and aligned to 8 bytes.
///
/// The answer is read through bounds-checked loads only, since its offsets come from the kernel.
@safe
package final class RequestBuffer {
    package let bytes: UnsafeMutableRawBufferPointer

    package init(byteCount: Int) {
        unsafe bytes = .allocate(byteCount: byteCount, alignment: 8)
        unsafe bytes.initializeMemory(as: UInt8.self, repeating: 0)
    }

    /// Creates a buffer that begins with `header` and has room for `tail` more bytes.
    package convenience init<Header: BitwiseCopyable>(_ header: Header, tail: Int = 0) {
        self.init(byteCount: MemoryLayout<Header>.size + tail)
        store(header, at: 0)
    }

    deinit { unsafe bytes.deallocate() }

    package convenience init(_ content: [UInt8]) {
        self.init(byteCount: content.count)
        unsafe bytes.copyBytes(from: content)
    }

    package var byteCount: Int { unsafe bytes.count }

    /// The buffer's address, for structures that point to it. The buffer must outlive the request.
    package var address: UInt64 { unsafe UInt64(UInt(bitPattern: bytes.baseAddress)) }

    package var content: [UInt8] { unsafe [UInt8](bytes) }

    /// Returns the value at an offset; `nil` if it is not completely inside.
    package func load<Value: BitwiseCopyable>(_ type: Value.Type = Value.self, at offset: Int) -> Value? {
        guard offset >= 0, offset <= byteCount, byteCount - offset >= MemoryLayout<Value>.size else { return nil }
        return unsafe bytes.loadUnaligned(fromByteOffset: offset, as: type)
    }

    /// Returns the value at the start; the buffer was created with at least that much room.
    package func header<Header: BitwiseCopyable>(_ type: Header.Type = Header.self) -> Header {
        guard let header = load(type, at: 0) else { preconditionFailure("the buffer is shorter than its header") }
        return header
    }

    package func store<Value: BitwiseCopyable>(_ value: Value, at offset: Int) {
        precondition(offset >= 0 && offset + MemoryLayout<Value>.size <= byteCount)
        unsafe bytes.storeBytes(of: value, toByteOffset: offset, as: Value.self)
    }
}
