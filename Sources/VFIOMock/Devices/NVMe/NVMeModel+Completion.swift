extension NVMeModel {
    /// What a completion queue entry says, but for what is known only when it is written.
    struct Completion {
        var submissionQueue: Int
        var identifier: UInt16
        var status: Status
        /// Dword 0.
        var result: UInt32 = 0
        var raisesInterrupt = true
    }
}
