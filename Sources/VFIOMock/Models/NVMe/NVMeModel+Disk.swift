extension NVMeModel {
    /// The blocks of the disk. Blocks that were never written are zero and use no memory.
    public struct Disk: Sendable {
        public let blockCount: UInt64
        /// 512 or 4096.
        public let blockByteCount: Int
        /// The written pieces by number.
        private var pieces: [UInt64: [UInt8]] = [:]

        private static let pieceByteCount = 65536

        init(blockCount: UInt64, blockByteCount: Int) {
            precondition(blockByteCount == 512 || blockByteCount == 4096, "a block has 512 or 4096 bytes")
            precondition(blockCount > 0 && blockCount <= 1 << 48, "the disk has 1 to 2^48 blocks")
            self.blockCount = blockCount
            self.blockByteCount = blockByteCount
        }

        /// Returns the bytes of blocks, which must be on the disk.
        public func bytes(at block: UInt64, blockCount: Int = 1) -> [UInt8] {
            unsafe [UInt8](unsafeUninitializedCapacity: blockCount * blockByteCount) { buffer, count in
                unsafe read(at: block, into: UnsafeMutableRawBufferPointer(buffer))
                count = buffer.count
            }
        }

        /// Sets whole blocks, which must be on the disk, without the driver.
        public mutating func setBytes(_ bytes: [UInt8], at block: UInt64) {
            precondition(bytes.count % blockByteCount == 0, "only whole blocks can be written")
            unsafe bytes.withUnsafeBytes { unsafe write(at: block, from: $0) }
        }

        func contains(_ block: UInt64, _ count: UInt64) -> Bool { block < blockCount && count <= blockCount - block }

        func read(at block: UInt64, into buffer: UnsafeMutableRawBufferPointer) {
            precondition(contains(block, UInt64(buffer.count / blockByteCount)), "the blocks are not on the disk")
            Self.split(block * UInt64(blockByteCount), buffer.count) { piece, start, range in
                let part = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[range])
                guard let bytes = pieces[piece] else {
                    unsafe _ = part.initializeMemory(as: UInt8.self, repeating: 0)
                    return
                }
                unsafe bytes.withUnsafeBytes {
                    unsafe part.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[start..<start + range.count]))
                }
            }
        }

        mutating func write(at block: UInt64, from buffer: UnsafeRawBufferPointer) {
            precondition(contains(block, UInt64(buffer.count / blockByteCount)), "the blocks are not on the disk")
            Self.split(block * UInt64(blockByteCount), buffer.count) { piece, start, range in
                let part = unsafe UnsafeRawBufferPointer(rebasing: buffer[range])
                unsafe pieces[piece, default: [UInt8](repeating: 0, count: Self.pieceByteCount)]
                    .withUnsafeMutableBytes {
                        unsafe UnsafeMutableRawBufferPointer(rebasing: $0[start..<start + range.count])
                            .copyMemory(from: part)
                    }
            }
        }

        mutating func zero(at block: UInt64, count: UInt64) {
            Self.split(block * UInt64(blockByteCount), Int(count) * blockByteCount) { piece, start, range in
                if range.count == Self.pieceByteCount {
                    pieces[piece] = nil
                } else if pieces[piece] != nil {
                    unsafe pieces[piece]!.withUnsafeMutableBytes {
                        unsafe _ = UnsafeMutableRawBufferPointer(rebasing: $0[start..<start + range.count])
                            .initializeMemory(as: UInt8.self, repeating: 0)
                    }
                }
            }
        }

        /// Splits a range of bytes into pieces and calls a closure with each piece's number, the offset in it, and the
        /// part of the range.
        private static func split(
            _ start: UInt64, _ byteCount: Int, _ body: (UInt64, Int, Range<Int>) -> Void
        ) {
            var done = 0
            while done < byteCount {
                let position = start + UInt64(done)
                let offset = Int(position % UInt64(pieceByteCount))
                let count = min(byteCount - done, pieceByteCount - offset)
                body(position / UInt64(pieceByteCount), offset, done..<done + count)
                done += count
            }
        }
    }
}
