/// The admin commands that the driver sends (NVM Express Base Specification 1.4, 5).
enum AdminCommand {
    static let deleteSubmissionQueue: UInt8 = 0x00
    static let createSubmissionQueue: UInt8 = 0x01
    static let deleteCompletionQueue: UInt8 = 0x04
    static let createCompletionQueue: UInt8 = 0x05
    static let identify: UInt8 = 0x06
    static let abort: UInt8 = 0x08
    static let setFeatures: UInt8 = 0x09

    /// The data structures that Identify returns (CNS).
    enum Identify {
        static let namespace: UInt64 = 0
        static let controller: UInt64 = 1
        static let activeNamespaces: UInt64 = 2
        static let namespaceDescriptors: UInt64 = 3
    }

    /// Feature 7: the number of I/O queues.
    static let numberOfQueues: UInt64 = 7
}
