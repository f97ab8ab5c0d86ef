/// The commands of the NVM command set that the driver sends (NVM Express Base Specification 1.4, 6).
@usableFromInline
enum IOCommand {
    @inlinable static var flush: UInt8 { 0x00 }
    @inlinable static var write: UInt8 { 0x01 }
    @inlinable static var read: UInt8 { 0x02 }
}
