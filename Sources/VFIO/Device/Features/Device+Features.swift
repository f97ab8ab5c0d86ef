internal import SystemPackage

extension Device {
    /// Sets the token that is required to open a virtual function of this physical function. It cannot be read back.
    /// The corresponding request is `VFIO_DEVICE_FEATURE_PCI_VF_TOKEN`.
    ///
    /// - Throws: `.unsupported` unless this is a physical function with SR-IOV.
    public func setVFToken(_ token: VFToken) throws(VFIOError) {
        try ABI.setVFToken(token.bytes).perform(
            on: core, "set the token of the virtual functions", "\(address)",
            lacking: "only a physical function with SR-IOV has one")
    }

    /// Enables or disables DMA of a device on a CDX bus (Linux 6.5).
    /// The corresponding request is `VFIO_DEVICE_FEATURE_BUS_MASTER`.
    ///
    /// - Throws: `.unsupported` for a PCI device, which has a register for it: ``PCICommand/busMaster``.
    public func setBusMaster(_ isMaster: Bool) throws(VFIOError) {
        try ABI.setBusMaster(isMaster).perform(
            on: core, "set the bus master", "\(address)",
            lacking: "only the CDX bus has it; on PCI it is the command register, PCICommand.busMaster")
    }

    /// Returns and clears the error report that s390 holds for a PCI function; `nil` if none is pending.
    /// The corresponding request is `VFIO_DEVICE_FEATURE_ZPCI_ERROR`.
    ///
    /// - Throws: `.unsupported` on other architectures than s390, and if the kernel does not report the length of a
    ///   report.
    public func takePendingZPCIError() throws(VFIOError) -> [UInt8]? {
        let operation = ABI.Call.takeZPCIError.operation("take the pending error")
        let place = "only s390 has it, from the kernel on that says how long a report is"
        guard let byteCount = info.zpci?.base?.errorByteCount, (1...4096).contains(byteCount) else {
            throw VFIOError(.unsupported, operation, "\(address)", hint: place)
        }
        do throws(Errno) {
            return try ABI.takeZPCIError(byteCount: byteCount).perform(on: core)
        } catch .noMessage {
            return nil
        } catch {
            throw ABI.Call.takeZPCIError.failure(error, operation, "\(address)", lacking: place)
        }
    }
}
