internal import Synchronization

/// Access to registers that are not mapped, by a system call each.
///
/// A register access does not throw, so the first failure is stored; ``Device``'s `withRegisters` throws it at its end,
/// or ``RegisterBank/check()`` does. A failed read returns all ones, as a failed PCI read does.
@usableFromInline
final class RegisterFallback: Sendable {
    private let core: DeviceCore
    private let region: RegionInfo
    private let firstFailure = Mutex<VFIOError?>(nil)

    init(_ region: RegionInfo, of core: DeviceCore) {
        self.region = region
        self.core = core
    }

    /// Returns and clears the first failure.
    func takeFailure() -> VFIOError? {
        firstFailure.withLock { failure in
            defer { failure = nil }
            return failure
        }
    }

    @usableFromInline @inline(never)
    func read(_ offset: Int, width: Int) -> UInt64 {
        switch width {
        case 1: UInt64(read(offset) as UInt8)
        case 2: UInt64(read(offset) as UInt16)
        case 4: UInt64(read(offset) as UInt32)
        default: read(offset) as UInt64
        }
    }

    @usableFromInline @inline(never)
    func write(_ value: UInt64, _ offset: Int, width: Int) {
        switch width {
        case 1: write(UInt8(truncatingIfNeeded: value), offset)
        case 2: write(UInt16(truncatingIfNeeded: value), offset)
        case 4: write(UInt32(truncatingIfNeeded: value), offset)
        default: write(value, offset)
        }
    }

    private func read<Value: FixedWidthInteger & BitwiseCopyable>(_ offset: Int) -> Value {
        check(offset, MemoryLayout<Value>.size)
        var value: Value = 0
        do throws(VFIOError) {
            try unsafe withUnsafeMutableBytes(of: &value) { (bytes) throws(VFIOError) in
                try unsafe core.read(region, at: UInt64(offset), into: bytes)
            }
            if value == Value.max, (try? core.answers()) == false {
                keep(core.gone("read at \(UInt64(offset).hexadecimal)"))
            }
            return Value(littleEndian: value)
        } catch {
            keep(error)
            return ~0
        }
    }

    private func write<Value: FixedWidthInteger & BitwiseCopyable>(_ value: Value, _ offset: Int) {
        check(offset, MemoryLayout<Value>.size)
        do throws(VFIOError) {
            try unsafe withUnsafeBytes(of: value.littleEndian) { (bytes) throws(VFIOError) in
                try unsafe core.write(region, at: UInt64(offset), from: bytes)
            }
        } catch {
            keep(error)
        }
    }

    // MARK: Checked accesses

    /// Reads a register that a guest has chosen.
    func checkedRead(at offset: UInt64, width: Int) throws(VFIOError) -> UInt64 {
        try checkRegister(offset, width, "read")
        var value: UInt64 = 0
        try unsafe withUnsafeMutableBytes(of: &value) { (bytes) throws(VFIOError) in
            try unsafe core.read(
                region, at: offset, into: UnsafeMutableRawBufferPointer(rebasing: bytes[..<width]))
        }
        return UInt64(littleEndian: value)
    }

    /// Writes a register that a guest has chosen.
    func checkedWrite(_ value: UInt64, at offset: UInt64, width: Int) throws(VFIOError) {
        try checkRegister(offset, width, "write")
        try unsafe withUnsafeBytes(of: value.littleEndian) { (bytes) throws(VFIOError) in
            try unsafe core.write(
                region, at: offset, from: UnsafeRawBufferPointer(rebasing: bytes[..<width]))
        }
    }

    private func checkRegister(_ offset: UInt64, _ width: Int, _ verb: String) throws(VFIOError) {
        let operation = "\(verb) \(width) bytes at \(offset.hexadecimal)"
        let subject = "\(region.index) of \(core.address)"
        guard [1, 2, 4, 8].contains(width) else {
            throw VFIOError(
                .invalidArgument, operation, subject, hint: "a register has 1, 2, 4 or 8 bytes")
        }
        guard offset.isAligned(to: UInt64(width)) else {
            throw VFIOError(
                .misaligned, operation, subject, hint: "the offset has to be a multiple of \(width)")
        }
    }

    // MARK: -

    private func check(_ offset: Int, _ width: Int) {
        precondition(
            offset >= 0 && UInt64(offset) <= region.byteCount && UInt64(width) <= region.byteCount - UInt64(offset),
            "register access outside of the region")
    }

    private func keep(_ error: VFIOError) {
        firstFailure.withLock { failure in
            if failure == nil { failure = error }
        }
    }
}
