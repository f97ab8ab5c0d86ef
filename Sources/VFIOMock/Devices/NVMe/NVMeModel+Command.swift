extension NVMeModel {
    /// A command, as an entry of a submission queue has it.
    struct Command {
        typealias Words = (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64)

        private let words: Words

        init(_ words: Words) { self.words = words }

        var opcode: UInt8 { UInt8(truncatingIfNeeded: words.0) }
        /// `FUSE` and `PSDT`, both of which are to be 0 here: commands are not fused, and data pointers are PRPs.
        var flags: UInt8 { UInt8(truncatingIfNeeded: words.0 >> 8) & 0xc3 }
        var identifier: UInt16 { UInt16(truncatingIfNeeded: words.0 >> 16) }
        var namespace: UInt32 { UInt32(truncatingIfNeeded: words.0 >> 32) }
        var prp1: UInt64 { words.3 }
        var prp2: UInt64 { words.4 }
        var dword10: UInt32 { UInt32(truncatingIfNeeded: words.5) }
        var dword11: UInt32 { UInt32(truncatingIfNeeded: words.5 >> 32) }
        var dword12: UInt32 { UInt32(truncatingIfNeeded: words.6) }
        var dword13: UInt32 { UInt32(truncatingIfNeeded: words.6 >> 32) }
        var dword14: UInt32 { UInt32(truncatingIfNeeded: words.7) }

        /// The first block of an NVM command that has one.
        var firstBlock: UInt64 { words.5 }
        var blockCount: UInt64 { UInt64(dword12 & 0xffff) + 1 }
    }

    /// Opcodes of section 5 of the specification.
    enum AdminOpcode {
        static let deleteSubmissionQueue: UInt8 = 0x00
        static let createSubmissionQueue: UInt8 = 0x01
        static let getLogPage: UInt8 = 0x02
        static let deleteCompletionQueue: UInt8 = 0x04
        static let createCompletionQueue: UInt8 = 0x05
        static let identify: UInt8 = 0x06
        static let abort: UInt8 = 0x08
        static let setFeatures: UInt8 = 0x09
        static let getFeatures: UInt8 = 0x0a
        static let asynchronousEventRequest: UInt8 = 0x0c
    }

    /// Opcodes of section 6.
    enum Opcode {
        static let flush: UInt8 = 0x00
        static let write: UInt8 = 0x01
        static let read: UInt8 = 0x02
        static let writeZeroes: UInt8 = 0x08
    }
}
