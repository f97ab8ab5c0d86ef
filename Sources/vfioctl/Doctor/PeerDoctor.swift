import VFIO

/// Checks whether one device can access another's memory by DMA.
struct PeerDoctor {
    let kernel: any Kernel
    let reader: PCIAddress
    let owner: PCIAddress
    /// The VF tokens of the devices that need one.
    var tokens: [PCIAddress: VFToken] = [:]

    /// Its findings are never problems, because each device by itself can be opened.
    func findings() -> [Finding] {
        do throws(VFIOError) {
            let mapping = try mapping()
            return [try route(isMappable: mapping.verdict == .fine), mapping]
        } catch {
            return [.warning("peer to peer", "\(error)")]
        }
    }

    /// Reports where the path between the two devices turns round: the closest common bridge, or the root complex.
    ///
    /// - Parameter isMappable: Whether the memory can be mapped, which the demo needs.
    private func route(isMappable: Bool) throws(VFIOError) -> Finding {
        let functions = try PCIBus(kernel: kernel).functions()
        func ancestors(_ address: PCIAddress) -> [PCIAddress] {
            var found: [PCIAddress] = []
            var next = functions.first { $0.address == address }?.parent
            // Bounded, because sysfs may change between two reads; no path is longer than the number of buses.
            while let parent = next, found.count < 256 {
                found.append(parent)
                next = functions.first { $0.address == parent }?.parent
            }
            return found
        }
        let (first, second) = (ancestors(reader), ancestors(owner))
        if let common = first.first(where: second.contains) {
            return .fine(
                "route", "both are behind \(common), which can turn their transfers round unless ACS forbids it")
        }
        // The demo knows how to make only QEMU's edu transfer.
        let isEngine =
            isMappable
            && functions.contains {
                $0.address == reader && $0.vendorID == 0x1234 && $0.deviceID == 0x11e8
            }
        return .warning(
            "route",
            "the devices are behind different ports, so their transfers cross the root complex; some refuse that",
            remedy: isEngine ? "vfioctl demo --from \(owner) --to \(reader)" : nil,
            advice: isEngine
                ? "This tries a transfer."
                : "whether this one does, only a transfer shows, by the device's driver")
    }

    /// Exports a page of the largest BAR, and maps it for the other device.
    private func mapping() throws(VFIOError) -> Finding {
        let space = try AddressSpace(kernel: kernel)
        let owner = try Device(at: owner, in: space, token: tokens[owner])
        let reader = try Device(at: reader, in: space, token: tokens[reader])
        let finding: Finding
        if let bar = try owner.largestMappableBAR(ofAtLeast: kernel.pageSize) {
            finding = try map(bar, of: owner, in: space)
        } else {
            finding = .warning("peer to peer", "\(owner.address) has no memory of a page or more")
        }
        try reader.close()
        try owner.close()
        return finding
    }

    private func map(_ bar: RegionInfo, of owner: borrowing Device, in space: AddressSpace) throws(VFIOError) -> Finding
    {
        try owner.config.updateCommand { $0.insert(.memoryDecode) }
        do throws(VFIOError) {
            let window = try owner.exportDMABuf(of: bar.index, 0..<UInt64(kernel.pageSize))
            let mapping = try space.map(window)
            let state = mapping.state
            try mapping.close()
            try window.close()
            return .fine(
                "peer to peer", "\(bar.index) of \(owner.address) can be mapped for \(reader), revocably: \(state)")
        } catch {
            return .warning(
                "peer to peer", "\(error)", advice: "it takes Linux 6.19, iommufd and CONFIG_VFIO_PCI_DMABUF")
        }
    }
}
