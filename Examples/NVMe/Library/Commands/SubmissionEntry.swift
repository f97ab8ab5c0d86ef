public import VFIO

/// A submission queue entry: 64 bytes (NVM Express Base Specification 1.4, 4.2).
///
/// The command identifier is not part of it; the queue assigns one.
public struct SubmissionEntry: Sendable, Hashable, BitwiseCopyable {
    /// The opcode.
    public var opcode: UInt8
    /// The namespace; 0 for none.
    public var namespace: UInt32
    /// PRP entry 1: the address of the data.
    public var data: UInt64
    /// PRP entry 2: the address of the second page of the data, or of a list.
    public var moreData: UInt64
    /// Command dwords 10 and 11, with dword 10 in the lower half.
    public var dwords10And11: UInt64
    /// Command dwords 12 and 13.
    public var dwords12And13: UInt64
    /// Command dwords 14 and 15.
    public var dwords14And15: UInt64

    @inlinable
    public init(
        opcode: UInt8, namespace: UInt32 = 0, data: UInt64 = 0, moreData: UInt64 = 0, dwords10And11: UInt64 = 0,
        dwords12And13: UInt64 = 0, dwords14And15: UInt64 = 0
    ) {
        self.opcode = opcode
        self.namespace = namespace
        self.data = data
        self.moreData = moreData
        self.dwords10And11 = dwords10And11
        self.dwords12And13 = dwords12And13
        self.dwords14And15 = dwords14And15
    }

    /// Writes the 64 bytes into a submission queue.
    @inlinable @inline(__always)
    func store<Memory: VolatileMemory & ~Copyable & ~Escapable>(
        to memory: borrowing Memory, at offset: Int, as identifier: UInt16
    ) {
        // One bounds check for all of the stores.
        let place = memory.extracting(offset..<offset &+ 64)
        place.write64(UInt64(namespace) << 32 | UInt64(identifier) << 16 | UInt64(opcode), at: 0)
        place.write64(0, at: 8)
        place.write64(0, at: 16)
        place.write64(data, at: 24)
        place.write64(moreData, at: 32)
        place.write64(dwords10And11, at: 40)
        place.write64(dwords12And13, at: 48)
        place.write64(dwords14And15, at: 56)
    }
}
