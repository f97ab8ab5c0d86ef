extension NVMeModel {
    /// What the controller says of itself, as texts.
    enum Identity {
        static let serialNumber = "MOCK0001"
        static let modelNumber = "swift-vfio mock NVMe controller"
        static let firmwareRevision = "1.0"
        static let qualifiedName = "nqn.2014-08.org.nvmexpress:uuid:6d6f636b-6e76-4d65-8000-000000000001"
        /// Of the namespace: a UUID.
        static let uuid: [UInt8] = Array("mocknvme".utf8) + [0x80, 0, 0, 0, 0, 0, 0, 2]
    }
}
