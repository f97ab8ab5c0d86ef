extension NVMeModel {
    /// What the registers of section 3.1 of the specification hold, as far as it can change.
    struct Registers {
        /// The vectors that are masked; only the pin goes by it.
        var interruptMask: UInt32 = 0
        var configuration: UInt32 = 0
        var status: UInt32 = 0
        var adminQueueAttributes: UInt32 = 0
        var adminSubmissionQueue: UInt64 = 0
        var adminCompletionQueue: UInt64 = 0
        var memorySpaceControl: UInt64 = 0

        var isEnabled: Bool { configuration & 1 != 0 }
        var pageSize: Int { 4096 << Int(configuration >> 7 & 0xf) }
        var submissionEntrySize: UInt32 { configuration >> 16 & 0xf }
        var completionEntrySize: UInt32 { configuration >> 20 & 0xf }
        /// `CC.CSS` is 7: there are no I/O commands.
        var hasAdminCommandsOnly: Bool { configuration >> 4 & 7 == 7 }
        var shutdownNotification: UInt32 { configuration >> 14 & 3 }

        var isReady: Bool {
            get { status & 1 != 0 }
            set { status = status & ~1 | (newValue ? 1 : 0) }
        }
        var isFatal: Bool {
            get { status & 2 != 0 }
            set { status = status & ~2 | (newValue ? 2 : 0) }
        }
        /// `CSTS.SHST`: 0 for none, 1 for under way, 2 for complete.
        var shutdownStatus: UInt32 {
            get { status >> 2 & 3 }
            set { status = status & ~0xc | newValue << 2 }
        }
    }
}
