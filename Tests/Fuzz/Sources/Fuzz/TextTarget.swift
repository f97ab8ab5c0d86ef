import VFIO

/// What users write and what sysfs says: what is read has to be read again from how it is written.
func fuzzText(_ data: UnsafePointer<UInt8>?, _ size: Int) -> Int32 {
    let text = String(decoding: UnsafeBufferPointer(start: data, count: size), as: UTF8.self)
    if let address = PCIAddress(text) { precondition(PCIAddress("\(address)") == address) }
    if let address = DeviceAddress(text) { precondition(DeviceAddress("\(address)") == address) }
    if let uuid = DeviceUUID(text) { precondition(DeviceUUID("\(uuid)") == uuid) }
    _ = VFToken(text)
    return 0
}
