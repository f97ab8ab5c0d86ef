/// A device bound to an iommufd, by its ID there, which IOMMU objects are made for.
///
/// Its operations need no VFIO descriptor, so they also apply to devices of other drivers.
package struct BoundDevice: Sendable {
    package let id: UInt32
    /// An address space of the iommufd; the default for page tables.
    let space: AddressSpace
    package let file: IOMMUFDFile
    /// For errors.
    package let name: String

    private static let tableWords = "make a page table"
    package static var hwptAllocOperation: String { ABI.Call.makePageTable.operation(tableWords) }

    init(_ id: UInt32, in space: AddressSpace, _ file: IOMMUFDFile, name: String) {
        self.id = id
        self.space = space
        self.file = file
        self.name = name
    }

    // MARK: Hardware information

    func hardware(_ type: IOMMUHardware.DataType? = nil) throws(VFIOError) -> IOMMUHardware {
        IOMMUHardware(
            try ABI.getHardwareInfo(of: id, type: type?.rawValue).perform(
                on: file, "ask what the IOMMU is", name,
                lacking: type == nil
                    ? "this kernel or this IOMMU does not tell"
                    : "the IOMMU has no data of this type, or the kernel (Linux 6.17) takes no type"))
    }

    // MARK: Page tables

    /// Creates a page table with an address space's mappings.
    func makePageTable(
        of space: AddressSpace?, options: HardwarePageTable.Options, faults: IOMMUFDObject?
    ) throws(VFIOError) -> HardwarePageTable {
        let space = space ?? self.space
        let ioas = try number(of: space, Self.hwptAllocOperation)
        if let faults { try require(faults, Self.hwptAllocOperation) }
        let number = try ABI.makePageTable(for: id, over: ioas, flags: options.rawValue, faults: faults?.id).perform(
            on: file, Self.tableWords, name, lacking: "the IOMMU of the device cannot do this")
        let table = HardwarePageTable(
            object: IOMMUFDObject(number, "the page table", of: space, in: file, holding: faults.map { [$0] } ?? []),
            options: options)
        // The IOMMU may have narrowed the usable IOVA ranges.
        try space.refresh()
        return table
    }

    // MARK: -

    /// Refuses objects of other iommufds, where the same ID names another object.
    package func require(_ object: IOMMUFDObject, _ operation: String) throws(VFIOError) {
        guard object.file === file else { throw stranger(operation) }
    }

    func number(of space: AddressSpace, _ operation: String) throws(VFIOError) -> UInt32 {
        guard let other = space.backend as? IOMMUFDContext, other.file === file else { throw stranger(operation) }
        return other.ioas
    }

    private func stranger(_ operation: String) -> VFIOError {
        VFIOError(
            .invalidArgument, operation, name,
            hint: "it is not of the iommufd that the device is bound to; see AddressSpace.makeSibling()")
    }
}
