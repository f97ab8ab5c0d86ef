internal import CVFIO
internal import SystemPackage

extension AddressSpace {
    /// Makes a queue for page faults (`IOMMU_FAULT_QUEUE_ALLOC`).
    ///
    /// - Throws: `.unsupported` with type1, and before Linux 6.11.
    public func makeFaultQueue() throws(VFIOError) -> FaultQueue {
        let operation = "make a fault queue (IOMMU_FAULT_QUEUE_ALLOC)"
        let context = try requireIOMMUFD(for: operation)
        var request = ciommu_fault_alloc()
        request.size = UInt32(MemoryLayout<ciommu_fault_alloc>.size)
        do throws(Errno) {
            _ = try kernel.control(context.descriptor, CIOMMU_FAULT_QUEUE_ALLOC, with: &request)
        } catch {
            let isLacking = error == .inappropriateIOCTLForDevice
            throw VFIOError(
                isLacking ? .unsupported : .kernel, operation, "\(IOMMUFDFile.node)", errno: error,
                hint: isLacking ? "it needs Linux 6.11" : nil)
        }
        let object = IOMMUFDObject(request.out_fault_id, "the fault queue", of: self, in: context.file)
        let descriptor = FileDescriptor(rawValue: Int32(bitPattern: request.out_fault_fd))
        return FaultQueue(object, OwnedDescriptor(descriptor, of: kernel))
    }
}
