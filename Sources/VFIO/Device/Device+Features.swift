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
}
