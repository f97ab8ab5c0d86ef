internal import SystemPackage

extension Device {
    /// Sets the token that whoever opens a virtual function of this physical function has to know. It cannot be read
    /// back. The corresponding request is `VFIO_DEVICE_FEATURE_PCI_VF_TOKEN`.
    ///
    /// - Throws: `.unsupported` for what is no physical function with SR-IOV.
    public func setVFToken(_ token: VFToken) throws(VFIOError) {
        try ABI.setVFToken(token.bytes).perform(
            on: core, "set the token of the virtual functions", "\(address)",
            lacking: "only a physical function with SR-IOV has one")
    }

    /// Lets a device on a CDX bus do DMA, or not (Linux 6.5).
    /// The corresponding request is `VFIO_DEVICE_FEATURE_BUS_MASTER`.
    ///
    /// - Throws: `.unsupported` for a PCI device, which has a register for it: ``PCICommand/busMaster``.
    public func setBusMaster(_ isMaster: Bool) throws(VFIOError) {
        try ABI.setBusMaster(isMaster).perform(
            on: core, "set the bus master", "\(address)",
            lacking: "only the CDX bus has it; on PCI it is the command register, PCICommand.busMaster")
    }

    /// The report of an error that s390 holds for a PCI function, which is taken by that; `nil` when nothing is pending.
    /// The corresponding request is `VFIO_DEVICE_FEATURE_ZPCI_ERROR`.
    ///
    /// - Throws: `.unsupported` on anything but s390, and from a kernel that does not say how long a report is.
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
