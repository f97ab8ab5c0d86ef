import VFIOMock

extension Example.Machine {
    /// Returns a sentence about the last IOMMU fault, from the mock or the kernel log.
    public func lastFault() -> String {
        guard let mock else { return "the IOMMU's fault is in the kernel's log" }
        return mock.faults.last.map { "the mock IOMMU has recorded a fault, \($0)" } ?? "the mock has recorded no fault"
    }
}
