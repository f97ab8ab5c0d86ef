internal import CVFIO
internal import SystemPackage

extension Device {
    /// Sets the token that whoever opens a virtual function of this physical function has to know
    /// (`VFIO_DEVICE_FEATURE_PCI_VF_TOKEN`). It cannot be read back.
    ///
    /// - Throws: `.unsupported` for what is no physical function with SR-IOV.
    public func setVFToken(_ token: VFToken) throws(VFIOError) {
        do throws(Errno) {
            try core.feature(CVFIO_DEVICE_FEATURE_PCI_VF_TOKEN, CVFIO_DEVICE_FEATURE_SET, token.bytes)
        } catch {
            throw core.featureRefusal(
                error, "set the token of the virtual functions (VFIO_DEVICE_FEATURE_PCI_VF_TOKEN)",
                place: "only a physical function with SR-IOV has one")
        }
    }

    /// Lets a device on a CDX bus do DMA, or not (`VFIO_DEVICE_FEATURE_BUS_MASTER`, Linux 6.5).
    ///
    /// - Throws: `.unsupported` for a PCI device, which has a register for it: ``PCICommand/busMaster``.
    public func setBusMaster(_ isMaster: Bool) throws(VFIOError) {
        let word = (isMaster ? CVFIO_DEVICE_FEATURE_SET_MASTER : CVFIO_DEVICE_FEATURE_CLEAR_MASTER).littleEndian
        do throws(Errno) {
            try core.feature(
                CVFIO_DEVICE_FEATURE_BUS_MASTER, CVFIO_DEVICE_FEATURE_SET,
                (0..<4).map { UInt8(truncatingIfNeeded: word >> UInt32($0 * 8)) })
        } catch {
            throw core.featureRefusal(
                error, "set the bus master (VFIO_DEVICE_FEATURE_BUS_MASTER)",
                place: "only the CDX bus has it; on PCI it is the command register, PCICommand.busMaster")
        }
    }

    /// The report of an error that s390 holds for a PCI function, which is taken by that
    /// (`VFIO_DEVICE_FEATURE_ZPCI_ERROR`); `nil` when nothing is pending.
    ///
    /// - Throws: `.unsupported` on anything but s390, and from a kernel that does not say how long a report is.
    public func takePendingZPCIError() throws(VFIOError) -> [UInt8]? {
        let operation = "take the pending error (VFIO_DEVICE_FEATURE_ZPCI_ERROR)"
        let place = "only s390 has it, from the kernel on that says how long a report is"
        guard let byteCount = info.zpci?.base?.errorByteCount, (1...4096).contains(byteCount) else {
            throw VFIOError(.unsupported, operation, "\(address)", hint: place)
        }
        // Longer than said, for a kernel that writes more than it says.
        let report = RequestBuffer(byteCount: 4096)
        let pointer = unsafe UInt64(UInt(bitPattern: report.bytes.baseAddress))
        do throws(Errno) {
            try core.feature(
                CVFIO_DEVICE_FEATURE_ZPCI_ERROR, CVFIO_DEVICE_FEATURE_GET,
                unsafe withUnsafeBytes(of: pointer) { unsafe [UInt8]($0) })
        } catch .noMessage {
            return nil
        } catch {
            throw core.featureRefusal(error, operation, place: place)
        }
        return (0..<byteCount).compactMap { report.load(UInt8.self, at: $0) }
    }
}
