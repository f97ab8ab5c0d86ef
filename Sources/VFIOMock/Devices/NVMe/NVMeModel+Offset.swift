extension NVMeModel {
    enum Offset {
        static let capabilities = 0x00
        static let version = 0x08
        static let interruptMaskSet = 0x0c
        static let interruptMaskClear = 0x10
        static let configuration = 0x14
        static let status = 0x1c
        static let adminQueueAttributes = 0x24
        static let adminSubmissionQueue = 0x28
        static let adminCompletionQueue = 0x30
        static let memoryBufferLocation = 0x38
        static let memoryBufferSize = 0x3c
        static let memorySpaceControl = 0x50
        static let memorySpaceStatus = 0x58
        static let doorbells = 0x1000
    }
}
