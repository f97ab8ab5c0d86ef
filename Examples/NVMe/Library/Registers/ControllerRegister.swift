/// The offsets of the controller's registers in BAR 0 (NVM Express Base Specification 1.4, 3.1).
enum ControllerRegister {
    /// CAP, 64 bits.
    static let capabilities = 0x00
    /// VS.
    static let version = 0x08
    /// CC.
    static let configuration = 0x14
    /// CSTS.
    static let status = 0x1c
    /// AQA: the sizes of the admin queues.
    static let adminQueueAttributes = 0x24
    /// ASQ, 64 bits.
    static let adminSubmissionQueue = 0x28
    /// ACQ, 64 bits.
    static let adminCompletionQueue = 0x30
    /// CRTO: the time limits to become ready, from version 2.0 on.
    static let readyTimeouts = 0x68
    /// The first doorbell.
    static let doorbells = 0x1000
}
