extension NVMeModel {
    /// A piece of a command's data, in one piece of addresses.
    struct Segment {
        var address: UInt64
        var byteCount: Int
    }
}
