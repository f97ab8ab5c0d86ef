extension NVMeModel {
    /// An entry of the error information log.
    struct ErrorEntry {
        var count: UInt64
        var event: AsynchronousEvent
    }
}
