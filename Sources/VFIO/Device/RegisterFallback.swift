internal import Synchronization

/// The way to registers that are not mapped: a system call for each access.
///
/// A register access cannot throw, as a load cannot. So the first failure is kept, for `withRegisters` of ``Device`` to
/// throw at its end; a read that fails gives all ones, as a PCI read does that nobody answers.
@usableFromInline
final class RegisterFallback: Sendable {
    private let core: DeviceCore
    private let region: RegionInfo
    private let firstFailure = Mutex<VFIOError?>(nil)

    init(_ region: RegionInfo, of core: DeviceCore) {
        self.region = region
        self.core = core
    }

    var failure: VFIOError? { firstFailure.withLock { $0 } }

    @usableFromInline @inline(never)
    func read8(_ offset: Int) -> UInt8 { read(offset) }
    @usableFromInline @inline(never)
    func read16(_ offset: Int) -> UInt16 { read(offset) }
    @usableFromInline @inline(never)
    func read32(_ offset: Int) -> UInt32 { read(offset) }
    @usableFromInline @inline(never)
    func read64(_ offset: Int) -> UInt64 { read(offset) }
    @usableFromInline @inline(never)
    func write8(_ value: UInt8, _ offset: Int) { write(value, offset) }
    @usableFromInline @inline(never)
    func write16(_ value: UInt16, _ offset: Int) { write(value, offset) }
    @usableFromInline @inline(never)
    func write32(_ value: UInt32, _ offset: Int) { write(value, offset) }
    @usableFromInline @inline(never)
    func write64(_ value: UInt64, _ offset: Int) { write(value, offset) }

    private func read<Value: FixedWidthInteger & BitwiseCopyable>(_ offset: Int) -> Value {
        check(offset, MemoryLayout<Value>.size)
        var value: Value = 0
        do throws(VFIOError) {
            try unsafe withUnsafeMutableBytes(of: &value) { (bytes) throws(VFIOError) in
                try unsafe core.read(region, at: UInt64(offset), into: bytes)
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
