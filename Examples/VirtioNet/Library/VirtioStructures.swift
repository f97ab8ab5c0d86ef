import VFIO

/// The structures that the driver uses: of each type the first valid one, because devices list them in order of
/// preference.
struct VirtioStructures {
    let common: VirtioStructure
    let notify: VirtioStructure
    let device: VirtioStructure

    /// The identity of a network device of virtio 1.0 or later (virtio 1.2, 4.1.2: 0x1040 and the device type, 1).
    static let identity: (vendor: UInt16, device: UInt16) = (0x1af4, 0x1041)

    /// Finds the structures of a device.
    ///
    /// - Throws: `.notVirtioNet`, `.missingStructure`, `.badStructure`.
    init(of target: borrowing Device) throws(VirtioNetError) {
        let config = target.config
        let identity = try rethrowing { () throws(VFIOError) in
            (vendor: try config.read16(at: 0), device: try config.read16(at: 2))
        }
        guard identity == Self.identity else {
            throw .notVirtioNet(vendor: identity.vendor, device: identity.device)
        }
        let found = try VirtioStructure.all(of: target)
        common = try Self.choose(.common, atLeast: 0x38, among: found, of: target)
        notify = try Self.choose(.notify, atLeast: 2, among: found, of: target)
        device = try Self.choose(.device, atLeast: 8, among: found, of: target)
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
