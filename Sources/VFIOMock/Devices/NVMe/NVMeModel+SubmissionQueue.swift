extension NVMeModel {
    struct SubmissionQueue {
        var base: UInt64
        var entryCount: Int
        var completionQueue: Int
        var head = 0
        var tail = 0
    }
}
