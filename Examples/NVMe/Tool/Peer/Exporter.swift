import VFIO

/// Operations on the device whose memory is exported.
enum Exporter {
    /// Returns the largest BAR that can be exported.
    static func largestBAR(of device: borrowing Device, atLeast byteCount: Int) throws(VFIOError) -> RegionIndex {
        var largest: RegionInfo?
        for region in try device.regions() where region.index.isBAR && region.isMappable {
            if region.byteCount > largest?.byteCount ?? 0 { largest = region }
        }
        guard let largest, largest.byteCount >= UInt64(byteCount) else {
            throw VFIOError(
                .notFound, "export a dma-buf", "\(device.address)",
                hint: "it has no memory BAR of \(byteCount) bytes or more")
        }
        return largest.index
    }

    /// Resets the device, with the best available method.
    ///
    /// - Returns: A description of the reset, as the end of a sentence.
    static func reset(_ device: borrowing Device) throws(VFIOError) -> String {
        if device.info.canReset {
            try device.reset()
            return "is reset"
        }
        if hasOwnBus(device) {
            try device.hotReset()
            return "is reset, with all of its bus"
        }
        try device.config.updateCommand { $0.remove(.memoryDecode) }
        try device.config.updateCommand { $0.insert(.memoryDecode) }
        return "cannot be reset, so its memory decode goes off, and on again"
    }

    /// Whether the device's bus can be reset, and this resets only devices of this program.
    private static func hasOwnBus(_ device: borrowing Device) -> Bool {
        (try? device.hotResetInfo())?.isOwned == true
    }
}
