import VFIOMock

extension Example.Machine {
    /// A sentence on the IOMMU fault that has just happened, by whichever way the machine tells of it.
    public func lastFault() -> String {
        guard let mock else { return "the IOMMU's fault is in the kernel's log" }
        return mock.faults.last.map { "the mock IOMMU has recorded a fault, \($0)" } ?? "the mock has recorded no fault"
    }
}
