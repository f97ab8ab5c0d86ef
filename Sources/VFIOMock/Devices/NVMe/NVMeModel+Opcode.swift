extension NVMeModel {
    /// Opcodes of section 6.
    enum Opcode {
        static let flush: UInt8 = 0x00
        static let write: UInt8 = 0x01
        static let read: UInt8 = 0x02
        static let writeZeroes: UInt8 = 0x08
    }
}
