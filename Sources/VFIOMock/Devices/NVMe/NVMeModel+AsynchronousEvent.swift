extension NVMeModel {
    /// An error that no command is to blame for: section 5.2 of the specification.
    enum AsynchronousEvent: UInt8 {
        case invalidDoorbell = 0
        case invalidDoorbellValue = 1

        /// All of them are errors.
        static let type: UInt8 = 0
        static let logPage: UInt8 = 1
    }
}
