import VFIO

/// The structures that the driver uses: of each type the first valid one, because devices list them in order of
/// preference.
struct VirtioStructures {
    let common: VirtioStructure
    let notify: VirtioStructure
    private let found: [VirtioStructure]

    /// Finds the structures of a device.
    ///
    /// - Throws: `.notVirtioNet`, `.legacyOnly`, `.missingStructure`, `.badStructure`.
    init(of target: borrowing Device) throws(VirtioNetError) {
        let config = target.config
        let identity = try rethrowing { () throws(VFIOError) in
            (
                vendor: try config.read16(at: 0), device: try config.read16(at: 2),
                subsystem: try config.read16(at: 0x2e)
            )
        }
        // virtio 1.2, 4.1.2: 0x1040 and the type, which is 1; or a transitional device, whose subsystem tells the type.
        let isTransitional = (0x1000...0x103f).contains(identity.device) && identity.subsystem == 1
        guard identity.vendor == 0x1af4, identity.device == 0x1041 || isTransitional else {
            throw .notVirtioNet(vendor: identity.vendor, device: identity.device)
        }
        found = try VirtioStructure.all(of: target)
        if isTransitional, !found.contains(where: { $0.kind == .common }) {
            throw .legacyOnly(device: identity.device)
        }
        common = try Self.choose(.common, atLeast: 0x38, among: found, of: target)
        notify = try Self.choose(.notify, atLeast: 2, among: found, of: target)
    }

    /// The device configuration, of which the driver reads the address alone. A device without one may lack it.
    func configuration(of target: borrowing Device) throws(VirtioNetError) -> VirtioStructure {
        try Self.choose(.device, atLeast: 6, among: found, of: target)
    }

    private static func choose(
        _ kind: VirtioStructure.Kind, atLeast byteCount: UInt32, among found: [VirtioStructure],
        of device: borrowing Device
    ) throws(VirtioNetError) -> VirtioStructure {
        var bad: VirtioStructure?
        for structure in found where structure.kind == kind && structure.bar <= 5 {
            let region: RegionInfo
            do throws(VFIOError) {
                region = try device.region(RegionIndex.bar(Int(structure.bar))!)
            } catch {
                throw .vfio(error)
            }
            if structure.fits(atLeast: byteCount, in: region) { return structure }
            bad = bad ?? structure
        }
        if let bad { throw .badStructure(bad) }
        throw .missingStructure(kind)
    }
}
